//! The lists of servers, groups and weights, and who this server is. (QuorumPeerConfig)

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::options::{self, Kind};
use super::settings::{Setting, Settings, bad_value, parse_number, parse_role, twice};
use super::{Note, Role};
use crate::ensemble::{Ensemble, Hierarchy, Member, QuorumVerifier};
use crate::proto::ids::Sid;

/// The ensemble of the server list, or none if the server stands alone.
pub(super) fn ensemble(settings: &mut Settings) -> Result<Option<Ensemble>, ConfigError> {
    let lists = Lists::read(settings)?;
    let voters: BTreeSet<Sid> = lists.sids_of(Role::Participant);
    let observers = !lists.sids_of(Role::Observer).is_empty();
    match voters.len() {
        0 if observers => {
            return Err(settings.conflict("Observers w/o participants is an invalid configuration"));
        }
        0 => return Ok(None),
        1 if observers => return Err(settings.conflict("Observers w/o quorum is an invalid configuration")),
        1 => {
            let note = "Invalid configuration, only one server specified (ignoring)";
            settings.notes.push(Note::error(note));
            return Ok(None);
        }
        2 => settings.notes.push(Note::warn(
            "No server failure will be tolerated. You need at least 3 servers.",
        )),
        n if n % 2 == 0 => settings.notes.push(Note::warn(
            // Misspelt in 3.4.14, and so in what operators look for.
            "Non-optimial configuration, consider an odd number of servers.",
        )),
        _ => {}
    }
    let verifier = lists.verifier(settings, &voters)?;
    let members = lists.members()?;
    Ok(Some(Ensemble::new(members, verifier)))
}

/// Reads the first line of `<dataDir>/myid`: a number and nothing else, not even a blank.
pub(super) fn my_id(
    data_dir: &Path,
    read: impl FnOnce(&Path) -> io::Result<Vec<u8>>,
) -> Result<Sid, ConfigError> {
    let path = data_dir.join("myid");
    let bytes = read(&path).map_err(|error| ConfigError::Unreadable {
        path: path.clone(),
        error,
        hint: "; in an ensemble it holds the number of this server, one of the server list",
    })?;
    let text = String::from_utf8_lossy(&bytes);
    // As BufferedReader.readLine: up to the first end of a line of any kind.
    let line = text.split(['\n', '\r']).next().unwrap_or_default();
    let sid = line.parse().ok().filter(|&sid: &i64| sid >= 0).map(Sid);
    sid.ok_or_else(|| bad_my_id(path, format!("serverid {line:?} is not a number")))
}

/// The refusal of a myid.
pub(super) fn bad_my_id(path: PathBuf, reason: String) -> ConfigError {
    ConfigError::MyId { path, reason }
}

/// A line of the server list; the election port may be missing until it is needed.
struct Server {
    key: String,
    setting: Setting,
    host: String,
    quorum_port: u16,
    election_port: Option<u16>,
    role: Role,
}

struct Lists {
    servers: BTreeMap<Sid, Server>,
    groups: BTreeMap<Sid, i64>,
    weights: BTreeMap<Sid, (String, Setting, u32)>,
}

impl Lists {
    fn read(settings: &Settings) -> Result<Lists, ConfigError> {
        let mut lists = Lists {
            servers: BTreeMap::new(),
            groups: BTreeMap::new(),
            weights: BTreeMap::new(),
        };
        for (key, setting) in &settings.keys {
            if key.starts_with("server.") {
                let sid = number_of_key(key, setting)?;
                let server = parse_server(key, setting);
                let server = server.ok_or_else(|| bad_value(key, setting, Kind::Server))?;
                // As server.1 and server.01.
                if let Some(first) = lists.servers.insert(sid, server) {
                    return Err(twice((key, setting), (&first.key, &first.setting)));
                }
            } else if key.starts_with("group") {
                lists.add_group(settings, key, setting)?;
            } else if key.starts_with("weight") {
                let kind = options::WEIGHT.kind;
                let weight = parse_number(kind, &setting.value);
                let weight = weight.ok_or_else(|| bad_value(key, setting, kind))?;
                let sid = number_of_key(key, setting)?;
                if let Some((first_key, first, _)) =
                    lists.weights.insert(sid, (key.clone(), setting.clone(), weight))
                {
                    return Err(twice((key, setting), (&first_key, &first)));
                }
            }
        }
        Ok(lists)
    }

    fn add_group(&mut self, settings: &Settings, key: &str, setting: &Setting) -> Result<(), ConfigError> {
        let group = number_of_key(key, setting)?.0;
        for sid in setting.value.trim_end_matches(':').split(':') {
            let sid = sid.parse().map_err(|_| bad_value(key, setting, Kind::Sids))?;
            if self.groups.insert(Sid(sid), group).is_some() {
                let reason = format!("{}: {key}: Server {sid} is in multiple groups", setting.origin);
                return Err(settings.conflict(reason));
            }
        }
        Ok(())
    }

    fn sids_of(&self, role: Role) -> BTreeSet<Sid> {
        let servers = self.servers.iter().filter(|(_, server)| server.role == role);
        servers.map(|(&sid, _)| sid).collect()
    }

    fn verifier(
        &self,
        settings: &mut Settings,
        voters: &BTreeSet<Sid>,
    ) -> Result<QuorumVerifier, ConfigError> {
        if self.groups.is_empty() {
            settings.notes.push(Note::info("Defaulting to majority quorums"));
            return Ok(QuorumVerifier::majority(voters.iter().copied()));
        }
        if !self.groups.keys().eq(voters) {
            return Err(settings.conflict("Every server must be in exactly one group"));
        }
        let mut hierarchy = Hierarchy::new();
        for (&sid, &group) in &self.groups {
            let weight = self.weights.get(&sid).map_or(1, |(_, _, weight)| *weight);
            hierarchy.add(sid, group, weight);
        }
        let verifier = QuorumVerifier::Hierarchical(hierarchy);
        if !verifier.contains_quorum(voters.iter().copied()) {
            return Err(settings.conflict("all weights are 0: no quorum is possible"));
        }
        Ok(verifier)
    }

    fn members(self) -> Result<Vec<Member>, ConfigError> {
        let members = self.servers.into_iter().map(|(sid, server)| {
            let missing = || ConfigError::Conflict {
                place: format!(
                    "{}: {}={}",
                    server.setting.origin, server.key, server.setting.value
                ),
                reason: format!("Missing election port for server: {sid}"),
            };
            Ok(Member {
                sid,
                quorum_port: server.quorum_port,
                election_port: server.election_port.ok_or_else(missing)?,
                role: server.role,
                host: server.host,
            })
        });
        members.collect()
    }
}

/// The N of `server.N`.
fn number_of_key(key: &str, setting: &Setting) -> Result<Sid, ConfigError> {
    let number = key.split_once('.').and_then(|(_, number)| number.parse().ok());
    // A negative number would be taken for a protocol version on the election port. (QuorumCnxManager)
    let number = number.filter(|&number: &i64| number >= 0);
    number.map(Sid).ok_or_else(|| ConfigError::Value {
        origin: setting.origin.clone(),
        key: key.to_owned(),
        value: setting.value.clone(),
        allowed: "a key with a whole number of at least 0 after its first dot".to_owned(),
    })
}

fn parse_server(key: &str, setting: &Setting) -> Option<Server> {
    let text = &setting.value;
    let (host, rest) = match text.strip_prefix('[') {
        Some(text) => text.split_once("]:")?,
        None => text.split_once(':')?,
    };
    let mut parts = rest.trim_end_matches(':').split(':');
    let quorum_port = parse_port(parts.next()?)?;
    let election_port = match parts.next() {
        Some(port) => Some(parse_port(port)?),
        None => None,
    };
    let role = parts.next().map_or(Some(Role::Participant), parse_role)?;
    let complete = parts.next().is_none() && !host.is_empty();
    complete.then(|| Server {
        key: key.to_owned(),
        setting: setting.clone(),
        host: host.to_owned(),
        quorum_port,
        election_port,
        role,
    })
}

fn parse_port(text: &str) -> Option<u16> {
    parse_number(options::CLIENT_PORT.kind, text)
}
