//! The two optional ports over which a server is watched: metrics and the admin page. Nothing else depends on
//! them: what cannot be had is said in the log, and the server runs without it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};

use crate::admin::members::server_id;
use crate::admin::{AdminSite, Facts, Members, MetricsSite, Site, SiteRules, Sources};
use crate::auth::Auth;
use crate::clients::environment;
use crate::config::{Config, HttpAddress};
use crate::net::http_port::{HttpPort, StopHttp};
use crate::net::probe;
use crate::proto::Sid;
use crate::request::{Clients, Gate, Status};
use crate::runtime::machine::Machine;
use crate::runtime::{Address, Clock, Crew, Disk, Halt, Threads};
use crate::storage::Dirs;

use super::parts::LONGEST_END;

/// The running ports; none if none are wanted.
pub(super) struct Watchers {
    ports: Vec<Address<StopHttp>>,
    /// Dropped, it ends the thread that asks the other members.
    _asking: Option<crossbeam_channel::Sender<()>>,
    crew: Crew,
}

/// What of the server is shown.
#[derive(Clone)]
pub(super) struct Shown {
    pub gate: Arc<Gate>,
    pub status: Arc<Status>,
    pub clients: Clients,
    pub auth: Arc<Auth>,
    pub disk: Arc<dyn Disk>,
    pub dirs: Dirs,
    pub client_port: u16,
}

impl Watchers {
    /// Opens the ports that the configuration asks for.
    pub fn start(config: &Config, threads: &Threads, shown: Shown) -> Watchers {
        let mut watchers = Watchers {
            ports: Vec::new(),
            _asking: None,
            crew: Crew::new(),
        };
        if config.metrics.is_none() && config.admin.is_none() {
            return watchers;
        }
        let client_port = shown.client_port;
        let sources = Sources {
            facts: Arc::new(facts(config, &**threads.clock(), client_port)),
            gate: shown.gate,
            status: shown.status,
            clients: shown.clients,
            auth: shown.auth,
            disk: shown.disk,
            dirs: shown.dirs,
        };
        if let Some(address) = &config.metrics {
            let site = MetricsSite::new(sources.clone());
            watchers.open(threads, address, "MetricsServer", site);
        }
        if let Some(admin) = &config.admin {
            let members = Arc::new(Members::default());
            let rules = SiteRules {
                command_url: admin.command_url.clone(),
                tree_browser: admin.tree_browser,
            };
            let site = AdminSite::new(sources, rules, Arc::clone(&members));
            if watchers.open(threads, &admin.address, "AdminServer", site) {
                watchers.ask_members(threads, others(config, client_port), members);
            }
        }
        watchers
    }

    fn open(
        &mut self,
        threads: &Threads,
        address: &HttpAddress,
        name: &str,
        site: impl Site + 'static,
    ) -> bool {
        match HttpPort::bind(&address.host, address.port, Arc::clone(threads.clock())) {
            Ok((port, stop)) => {
                log::info!("Started {name} on address {}", port.local_address());
                threads.spawn(&mut self.crew, name, move || port.run(site));
                self.ports.push(stop);
                true
            }
            Err(error) => {
                log::error!("Problem starting {name}: {error}; the server runs without it");
                false
            }
        }
    }

    fn ask_members(&mut self, threads: &Threads, others: Others, members: Arc<Members>) {
        if others.is_empty() {
            return;
        }
        let (asking, end) = bounded(0);
        let clock = Arc::clone(threads.clock());
        let body = move || ask_members(&others, &members, &*clock, &end);
        threads.spawn(&mut self.crew, "AdminMembers", body);
        self._asking = Some(asking);
    }

    /// Ends the threads.
    pub fn stop(self) {
        let Watchers {
            ports,
            _asking: asking,
            crew,
        } = self;
        ports.iter().for_each(|port| port.post(StopHttp));
        drop(asking);
        for name in crew.join(LONGEST_END) {
            log::error!("thread {name} has not ended in time");
        }
    }
}

/// Where the other members' client ports are.
type Others = BTreeMap<Sid, (String, u16)>;

fn others(config: &Config, client_port: u16) -> Others {
    let (Some(ensemble), Some(admin)) = (&config.ensemble, &config.admin) else {
        return Others::new();
    };
    let others = ensemble
        .ensemble
        .members()
        .values()
        .filter(|member| member.sid != ensemble.my_id);
    let address = |member: &crate::ensemble::Member| {
        let told = admin.members.get(&member.sid).cloned();
        (
            member.sid,
            told.unwrap_or_else(|| (member.host.clone(), client_port)),
        )
    };
    others.map(address).collect()
}

/// Asks each member while somebody looks at the page.
fn ask_members(
    others: &Others,
    members: &Members,
    clock: &dyn Clock,
    end: &Receiver<()>,
) -> Result<(), Halt> {
    // Nothing is ever sent: the channel closes when the server ends.
    while end.recv_timeout(ASK_EVERY).is_err_and(|error| error.is_timeout()) {
        if !members.are_wanted(clock.now().elapsed_ms) {
            continue;
        }
        for (&sid, (host, port)) in others {
            let answer = probe::ask(host, *port, "srvr", clock);
            let answer = answer.and_then(|text| match probe::ask(host, *port, "conf", clock).as_deref() {
                // Servers on one machine have client ports of their own, which nobody can guess.
                Ok(conf) if server_id(conf).is_some_and(|other| other != sid) => {
                    Err("another server answers there; set admin.members".to_owned())
                }
                _ => Ok(text),
            });
            members.take(sid, answer.as_deref().map_err(String::clone), clock.now().wall_ms);
        }
    }
    Ok(())
}

fn facts(config: &Config, clock: &dyn Clock, client_port: u16) -> Facts {
    let ensemble = config.ensemble.as_ref();
    let version_dir = |dir: &std::path::Path| {
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        dir.join("version-2")
    };
    Facts {
        my_id: ensemble.map(|ensemble| ensemble.my_id),
        ensemble: ensemble.map(|ensemble| ensemble.ensemble.clone()),
        client_port,
        data_dir: version_dir(&config.data_dir),
        data_log_dir: version_dir(&config.data_log_dir),
        tick_ms: config.tick_time_ms,
        max_client_cnxns: config.max_client_cnxns,
        min_session_timeout_ms: config.min_session_timeout_ms,
        max_session_timeout_ms: config.max_session_timeout_ms,
        limits: ensemble.map(|ensemble| (ensemble.init_limit_ticks, ensemble.sync_limit_ticks)),
        environment: environment::entries(&Machine::look()),
        started_ms: clock.now().elapsed_ms,
    }
}

const ASK_EVERY: Duration = Duration::from_secs(1);
