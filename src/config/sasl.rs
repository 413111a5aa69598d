//! What is configured of SASL: for clients, and among servers. (SaslServerCallbackHandler, QuorumAuth)
//!
//! The names and passwords are in a file of their own, which is read after the configuration is.

use std::io;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::options::{self, Opt};
use super::settings::{Settings, SystemProperties, provides_sasl};
use super::{Config, Note};
use crate::sasl::jaas::{Entry, Jaas};
use crate::sasl::{Credentials, Secret, Users};

/// How clients authenticate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientSasl {
    /// Whether ACLs may have the scheme `sasl`. (`authProvider.N`)
    pub has_provider: bool,
    /// The file with the sections.
    pub jaas_file: Option<PathBuf>,
    /// The section with the clients' passwords, if it was named.
    pub section: Option<String>,
    /// The password of the user `super` instead of the section's.
    pub super_password: Option<Secret>,
    /// Whether a client that fails keeps its connection.
    pub keeps_failed: bool,
    /// A connection needs an identity of one of these schemes before its first request; any if there is none.
    pub required_schemes: Vec<String>,
    /// Who has a password; `None` if SASL is not configured.
    pub users: Option<Users>,
}

/// How servers authenticate to each other. (QuorumAuth)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumSasl {
    /// Whether they do at all.
    pub enabled: bool,
    /// Whether those that do not are refused.
    pub server_require: bool,
    /// Whether this server does when it connects.
    pub learner_require: bool,
    /// The JAAS section for accepting.
    pub server_login_context: String,
    /// The JAAS section for connecting.
    pub learner_login_context: String,
    /// The Kerberos principal of the servers.
    pub service_principal: String,
    /// Who has a password; none unless enabled.
    pub users: Users,
    /// With what this server proves who it is; none unless enabled.
    pub credentials: Option<Credentials>,
}

pub(super) fn clients(settings: &mut Settings) -> Result<ClientSasl, ConfigError> {
    let file = settings.text(&options::JAAS_FILE);
    let file = file.or_else(|| settings.text(&options::JAVA_JAAS_FILE));
    let file = file.map(|file| PathBuf::from(file.strip_prefix("file:").unwrap_or(&file)));
    let provides = |(name, class): (&String, &String)| {
        name.strip_prefix(options::PREFIX)
            .is_some_and(|key| provides_sasl(key, class))
    };
    Ok(ClientSasl {
        has_provider: settings.properties.values().iter().any(provides),
        jaas_file: file,
        section: settings.text(&options::SASL_SERVER_SECTION),
        super_password: settings.text(&options::SASL_SUPER_PASSWORD).map(Secret::new),
        keeps_failed: settings.switch(&options::ALLOW_SASL_FAILED_CLIENTS),
        required_schemes: required_schemes(settings)?,
        users: None,
    })
}

/// Which schemes a client must have proved to be somebody of. (AuthenticationHelper of 3.9)
fn required_schemes(settings: &mut Settings) -> Result<Vec<String>, ConfigError> {
    let listed = settings.text(&options::ENFORCE_AUTH_SCHEMES).unwrap_or_default();
    let listed = listed.split(',').map(|scheme| scheme.trim().to_lowercase());
    let mut schemes: Vec<String> = listed.filter(|scheme| !scheme.is_empty()).collect();
    let enabled = settings.switch(&options::ENFORCE_AUTH);
    if enabled && schemes.is_empty() {
        let reason = "enforce.auth.enabled is true, but enforce.auth.schemes names no scheme";
        return Err(settings.conflict(reason));
    }
    if !enabled {
        schemes.clear();
    }
    let sasl = "sasl".to_owned();
    if settings.switch(&options::REQUIRE_CLIENT_SASL) && !schemes.contains(&sasl) {
        schemes.push(sasl);
    }
    Ok(schemes)
}

pub(super) fn quorum(settings: &mut Settings) -> Result<QuorumSasl, ConfigError> {
    let text = |option: &Opt| settings.text(option).unwrap_or_else(|| option.default.to_owned());
    let server_login_context = text(&options::QUORUM_SERVER_LOGIN_CONTEXT);
    let learner_login_context = text(&options::QUORUM_LEARNER_LOGIN_CONTEXT);
    let service_principal = text(&options::QUORUM_SERVICE_PRINCIPAL);
    let sasl = QuorumSasl {
        enabled: settings.switch(&options::QUORUM_ENABLE_SASL),
        server_require: settings.switch(&options::QUORUM_SERVER_REQUIRE_SASL),
        learner_require: settings.switch(&options::QUORUM_LEARNER_REQUIRE_SASL),
        server_login_context,
        learner_login_context,
        service_principal,
        users: Users::default(),
        credentials: None,
    };
    let enable = options::QUORUM_ENABLE_SASL.name;
    let server = options::QUORUM_SERVER_REQUIRE_SASL.name;
    let learner = options::QUORUM_LEARNER_REQUIRE_SASL.name;
    let (lacking, wanted) = match (sasl.enabled, sasl.server_require, sasl.learner_require) {
        (false, true, _) => (enable, server),
        (false, false, true) => (enable, learner),
        (true, true, false) => (learner, server),
        _ => return Ok(sasl),
    };
    Err(settings.conflict(format!("{lacking} is disabled, so cannot enable {wanted}")))
}

impl Config {
    /// Reads the file with names and passwords, if there is one, and takes from it what this server needs.
    ///
    /// # Errors
    /// A file or section that is missing although something asks for it, or says nothing that can be used.
    pub fn read_logins(
        &mut self,
        read: impl FnOnce(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<(), ConfigError> {
        let quorum = self.ensemble.as_mut().map(|ensemble| &mut ensemble.quorum_sasl);
        let quorum = quorum.filter(|sasl| sasl.enabled);
        let clients = &mut self.client_sasl;
        let Some(path) = &clients.jaas_file else {
            let wanted = match (&clients.section, quorum) {
                (_, Some(_)) => options::QUORUM_ENABLE_SASL.name,
                (Some(_), None) => options::SASL_SERVER_SECTION.name,
                (None, None) => {
                    self.note_missing_sasl();
                    return Ok(());
                }
            };
            let key = options::JAVA_JAAS_FILE.name;
            let why =
                format!("{wanted} needs the file that {key} names; set it as -D{key}=FILE or in zoo.cfg");
            return Err(ConfigError::Conflict {
                place: "SASL".to_owned(),
                reason: why,
            });
        };
        let bytes = read(path).map_err(|error| ConfigError::Unreadable {
            path: path.clone(),
            error,
            hint: "; java.security.auth.login.config names it",
        })?;
        let logins = Logins::parse(path, &bytes)?;
        let section = clients.section.as_deref();
        if let Some(entries) = logins.digest_section(section.unwrap_or(DEFAULT_SECTION), section.is_some())? {
            let mut users = Users::of_section(entries);
            if let Some(password) = &clients.super_password {
                users.change_password("super", password.clone());
            }
            clients.users = Some(users);
        }
        if let Some(quorum) = quorum {
            logins.quorum(quorum)?;
        }
        self.note_missing_sasl();
        Ok(())
    }

    /// Nobody could ever fulfil what is asked of clients.
    fn note_missing_sasl(&mut self) {
        let sasl = &self.client_sasl;
        if sasl.users.is_none() && sasl.required_schemes == ["sasl"] {
            let note = "clients must authenticate with SASL, but no login section gives them passwords: nobody is \
                        served until java.security.auth.login.config names a file with a section Server";
            self.notes.push(Note::warn(note));
        }
    }
}

/// With what a client proves who it is: the section `Client` of the file that `java.security.auth.login.config` names,
/// if there is one. (ZooKeeperSaslClient)
///
/// # Errors
/// A file or section that cannot be used.
pub fn client_login(system: &SystemProperties) -> Result<Option<Credentials>, ConfigError> {
    let Some(path) = system.get(options::JAVA_JAAS_FILE.name) else {
        return Ok(None);
    };
    if system.get("zookeeper.sasl.client") == Some("false") {
        return Ok(None);
    }
    let path = Path::new(path.strip_prefix("file:").unwrap_or(path));
    let bytes = std::fs::read(path).map_err(|error| ConfigError::Unreadable {
        path: path.to_path_buf(),
        error,
        hint: "; java.security.auth.login.config names it",
    })?;
    let logins = Logins::parse(path, &bytes)?;
    match system.get("zookeeper.sasl.clientconfig") {
        Some(section) => logins.credentials(section).map(Some),
        None if logins.jaas.section("Client").is_none() => Ok(None),
        None => logins.credentials("Client").map(Some),
    }
}

/// The sections of a file, and its name for messages.
struct Logins<'a> {
    path: &'a Path,
    jaas: Jaas,
}

impl<'a> Logins<'a> {
    fn parse(path: &'a Path, bytes: &[u8]) -> Result<Logins<'a>, ConfigError> {
        let jaas = match std::str::from_utf8(bytes) {
            Ok(text) => Jaas::parse(text).map_err(|error| bad(path, error.line, error.reason)),
            Err(error) => {
                let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
                let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
                Err(bad(path, line, "the file is to be in UTF-8".to_owned()))
            }
        };
        Ok(Logins { path, jaas: jaas? })
    }

    /// A section's modules, which must be those of DIGEST-MD5. `None` if it may be missing and is.
    fn digest_section(&self, name: &str, is_needed: bool) -> Result<Option<&[Entry]>, ConfigError> {
        let Some(entries) = self.jaas.section(name) else {
            let reason = format!("there is no section {name}: write one, as '{name} {{ {EXAMPLE} ...; }};'");
            return if is_needed {
                Err(bad(self.path, 1, reason))
            } else {
                Ok(None)
            };
        };
        for entry in entries {
            let class = entry.module.rsplit('.').next().unwrap_or_default();
            let why = match class {
                "DigestLoginModule" => continue,
                "Krb5LoginModule" => "Kerberos (GSSAPI) is not offered, see COMPAT.md",
                _ => "this login module is not known",
            };
            let reason = format!(
                "section {name}: {}: {why}; use {EXAMPLE}",
                entry.module.escape_debug()
            );
            return Err(bad(self.path, entry.line, reason));
        }
        Ok(Some(entries))
    }

    fn quorum(&self, sasl: &mut QuorumSasl) -> Result<(), ConfigError> {
        let server = self.digest_section(&sasl.server_login_context, true)?;
        sasl.users = Users::of_section(server.unwrap_or_default());
        sasl.credentials = Some(self.credentials(&sasl.learner_login_context)?);
        Ok(())
    }

    /// The name and the password of a section.
    fn credentials(&self, name: &str) -> Result<Credentials, ConfigError> {
        let entries = self.digest_section(name, true)?.unwrap_or_default();
        let line = entries.first().map_or(1, |entry| entry.line);
        Credentials::of_section(entries).ok_or_else(|| {
            let reason = format!("section {name}: username=\"...\" and password=\"...\" are needed");
            bad(self.path, line, reason)
        })
    }
}

fn bad(path: &Path, line: usize, reason: String) -> ConfigError {
    ConfigError::Login {
        path: path.to_path_buf(),
        line,
        reason,
    }
}

/// ZooKeeperSaslServer.DEFAULT_LOGIN_CONTEXT_NAME.
const DEFAULT_SECTION: &str = "Server";
const EXAMPLE: &str = "org.apache.zookeeper.server.auth.DigestLoginModule required";
