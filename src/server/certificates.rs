//! Keys and certificates: read at the start, and read again when their files change. (FileChangeWatcher)

use std::convert::Infallible;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use crate::config::Config;
use crate::runtime::{Disk, ExitCode, Flow, Halt, Now, Stage};
use crate::tls::{ReadFile, Reload, TlsContext, TlsError};

/// What connections with TLS begin with.
#[derive(Clone, Default)]
pub(super) struct Certificates {
    /// Those of clients.
    pub client: Option<Arc<TlsContext>>,
    /// Those between servers.
    pub quorum: Option<Arc<TlsContext>>,
    /// Those that are to be read again when their files change.
    pub renewed: Vec<Arc<TlsContext>>,
}

impl Certificates {
    /// Reads what a configuration names.
    pub fn load(config: &Config, disk: &Arc<dyn Disk>) -> Result<Certificates, Halt> {
        let tls = &config.tls;
        let client = tls.client.clone();
        let client = client.map(|options| TlsContext::of_server(options, reads(disk)));
        let client = client.transpose().map_err(|error| refused(&error))?.map(Arc::new);
        let servers = tls.quorum.as_ref().filter(|_| config.is_distributed());
        let quorum = servers.map(|servers| TlsContext::of_peer(servers.options.clone(), reads(disk)));
        let quorum = quorum.transpose().map_err(|error| refused(&error))?.map(Arc::new);
        let reloads_quorum = servers.is_some_and(|servers| servers.reload);
        let renewed = [
            client.clone().filter(|_| tls.client_reload),
            quorum.clone().filter(|_| reloads_quorum),
        ];
        Ok(Certificates {
            client,
            quorum,
            renewed: renewed.into_iter().flatten().collect(),
        })
    }
}

fn refused(error: &TlsError) -> Halt {
    Halt::new(ExitCode::BadConfig, format!("TLS cannot be spoken: {error}"))
}

fn reads(disk: &Arc<dyn Disk>) -> ReadFile {
    let disk = Arc::clone(disk);
    Arc::new(move |path: &Path| {
        let mut bytes = Vec::new();
        disk.open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    })
}

/// Looks at the files every few seconds. Their content is compared, not their dates: what is mounted into a
/// container keeps none.
pub(super) struct CertificateWatcher {
    renewed: Vec<Arc<TlsContext>>,
    next_ms: i64,
}

impl CertificateWatcher {
    pub fn new(renewed: Vec<Arc<TlsContext>>, now: Now) -> CertificateWatcher {
        let next_ms = now.elapsed_ms + LOOK_EVERY_MS;
        CertificateWatcher { renewed, next_ms }
    }
}

impl Stage for CertificateWatcher {
    type In = Infallible;

    fn step(&mut self, _now: Now, letter: Infallible) -> Flow {
        match letter {}
    }

    fn quiet(&mut self, now: Now) -> Flow {
        if now.elapsed_ms < self.next_ms {
            return Flow::Go;
        }
        self.next_ms = now.elapsed_ms + LOOK_EVERY_MS;
        for context in &self.renewed {
            let prefix = context.prefix();
            match context.reload() {
                Reload::Unchanged => {}
                Reload::Renewed => {
                    log::info!("{prefix}*: key and certificates have changed; new connections use them")
                }
                Reload::Refused(error) => {
                    log::error!(
                        "{prefix}*: the changed files cannot be used, what was read before stays in use: {error}"
                    );
                }
            }
        }
        Flow::Go
    }

    fn wake_at(&self) -> Option<i64> {
        Some(self.next_ms)
    }
}

const LOOK_EVERY_MS: i64 = 2_000;
/// More of a file is not read: the trust of a whole system is a quarter of it.
const MOST_BYTES: u64 = 1 << 20;
