//! The two optional ports that speak HTTP: metrics and the admin server. Both are off unless asked for, and on
//! this machine's loopback address unless told. (PrometheusMetricsProvider, JettyAdminServer)

use std::collections::BTreeMap;

use crate::proto::Sid;

use super::error::ConfigError;
use super::options;
use super::settings::Settings;
use super::{Note, Opt};

/// Where to listen for HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAddress {
    /// The address or host name, not yet resolved.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// What the admin server is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// Where it listens.
    pub address: HttpAddress,
    /// The path of its commands: a slash before it, none behind it.
    pub command_url: String,
    /// Whether nodes are shown.
    pub tree_browser: bool,
    /// The client ports of members, where they are not this server's own: host and port.
    pub members: BTreeMap<Sid, (String, u16)>,
}

/// Where metrics are given.
pub(super) fn metrics(settings: &mut Settings) -> Result<Option<HttpAddress>, ConfigError> {
    let port: u16 = settings.number(&options::METRICS_PORT)?;
    let class = settings.text(&options::METRICS_CLASS);
    let is_prometheus = |class: &String| class.ends_with("PrometheusMetricsProvider");
    let is_none =
        |class: &str| class.ends_with("DefaultMetricsProvider") || class.ends_with("NullMetricsProvider");
    match class {
        Some(class) if is_prometheus(&class) => Ok(Some(HttpAddress {
            host: text(settings, &options::METRICS_HOST),
            port,
        })),
        Some(class) if !is_none(&class) => {
            let note = format!(
                "metricsProvider.className={class}: only PrometheusMetricsProvider is offered; no metrics are given"
            );
            settings.notes.push(Note::warn(note));
            Ok(None)
        }
        class => {
            if class.is_none() && settings.text(&options::METRICS_PORT).is_some() {
                let note = "metricsProvider.httpPort is without effect: metricsProvider.className is not set to \
                            org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";
                settings.notes.push(Note::warn(note));
            }
            Ok(None)
        }
    }
}

/// The admin server.
pub(super) fn admin(settings: &mut Settings) -> Result<Option<AdminConfig>, ConfigError> {
    let port: u16 = settings.number(&options::ADMIN_PORT)?;
    let has_port = settings.text(&options::ADMIN_PORT).is_some();
    let switched = settings.text(&options::ADMIN_ENABLE);
    let is_on = settings.switch(&options::ADMIN_ENABLE);
    let members = members(settings)?;
    if !(is_on || switched.is_none() && has_port) {
        return Ok(None);
    }
    let url = text(settings, &options::ADMIN_COMMAND_URL);
    Ok(Some(AdminConfig {
        address: HttpAddress {
            host: text(settings, &options::ADMIN_ADDRESS),
            port,
        },
        command_url: format!("/{}", url.trim_matches('/')),
        tree_browser: settings.switch(&options::ADMIN_TREE_BROWSER),
        members,
    }))
}

fn members(settings: &Settings) -> Result<BTreeMap<Sid, (String, u16)>, ConfigError> {
    let list = text(settings, &options::ADMIN_MEMBERS);
    let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let member = |entry: &str| {
        member(entry).ok_or_else(|| {
            settings.conflict(format!(
                "admin.members: {entry} is not of the form N=host:clientPort"
            ))
        })
    };
    entries.map(member).collect()
}

fn member(entry: &str) -> Option<(Sid, (String, u16))> {
    let (sid, address) = entry.split_once('=')?;
    let (host, port) = address.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let (sid, port) = (sid.trim().parse().ok()?, port.trim().parse().ok()?);
    (!host.is_empty()).then(|| (Sid(sid), (host.to_owned(), port)))
}

/// A text, or the option's default.
fn text(settings: &Settings, option: &Opt) -> String {
    let text = settings.text(option).filter(|text| !text.is_empty());
    text.unwrap_or_else(|| option.default.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Config, SystemProperties};
    use super::*;

    fn config(lines: &str) -> Result<Config, ConfigError> {
        let text = format!("dataDir=/d\nclientPort=2181\n{lines}");
        let none = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        Config::parse(
            Path::new("zoo.cfg"),
            text.as_bytes(),
            SystemProperties::default(),
            none,
        )
    }

    #[test]
    fn both_ports_are_off_unless_asked_for_and_on_loopback_unless_told() {
        let off = config("admin.enableServer=false\nadmin.serverPort=9000\n").expect("a configuration");
        assert_eq!((off.metrics, off.admin), (None, None));
        let off = config("metricsProvider.httpPort=7000").expect("a configuration");
        assert_eq!(off.metrics, None);
        assert!(
            off.notes
                .iter()
                .any(|note| note.text.contains("className is not set"))
        );
        let class =
            "metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n";
        let on = config(&format!(
            "{class}admin.enableServer=true\nmetricsProvider.exportJvmInfo=true\n"
        ));
        let on = on.expect("a configuration");
        let local = |port| HttpAddress {
            host: "127.0.0.1".to_owned(),
            port,
        };
        assert_eq!(on.metrics, Some(local(7000)));
        let admin = on.admin.expect("an admin server");
        assert_eq!(
            (admin.address, admin.command_url.as_str()),
            (local(8080), "/commands")
        );
        assert!(!admin.tree_browser);
    }

    #[test]
    fn what_is_told_is_taken_and_what_is_no_address_is_refused() {
        let lines = "admin.serverPort=9000\nadmin.serverAddress=0.0.0.0\nadmin.commandURL=ask/\n\
                     admin.members=2=zoo2:2182, 3=[::1]:2183\nadmin.treeBrowser=true\n";
        let admin = config(lines)
            .expect("a configuration")
            .admin
            .expect("an admin server");
        assert_eq!(
            (admin.address.host.as_str(), admin.address.port),
            ("0.0.0.0", 9000)
        );
        assert_eq!(admin.command_url, "/ask");
        assert!(admin.tree_browser);
        assert_eq!(admin.members.get(&Sid(3)), Some(&("::1".to_owned(), 2183)));
        assert_eq!(admin.members.len(), 2);
        for bad in [
            "admin.serverPort=x",
            "admin.members=2",
            "admin.members=a=b:1",
            "metricsProvider.httpPort=0",
        ] {
            assert!(config(bad).is_err(), "{bad}");
        }
    }
}
