//! What is configured of containers and of nodes with a time to live. (ContainerManager, EphemeralType of 3.9)

use super::error::ConfigError;
use super::options;
use super::settings::Settings;
use crate::ensemble::NewerTxns;

/// When containers and nodes with a time to live are looked for. (ContainerManager of 3.9)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Containers {
    /// Milliseconds between two searches.
    pub check_interval_ms: i64,
    /// So many go in a minute.
    pub max_per_minute: i64,
    /// A container that has never had a child goes after so many milliseconds; 0 for never.
    pub never_used_ms: i64,
}

pub(super) fn newer_txns(settings: &mut Settings) -> NewerTxns {
    match settings.text(&options::EXTENDED_TYPES) {
        None => NewerTxns::Auto,
        Some(text) if text.eq_ignore_ascii_case("true") => NewerTxns::Always,
        Some(_) => NewerTxns::Never,
    }
}

pub(super) fn rules(settings: &mut Settings) -> Result<Containers, ConfigError> {
    Ok(Containers {
        check_interval_ms: settings.number(&options::CONTAINER_CHECK_INTERVAL)?,
        max_per_minute: settings.number(&options::CONTAINER_MAX_PER_MINUTE)?,
        never_used_ms: settings.number(&options::CONTAINER_NEVER_USED)?,
    })
}
