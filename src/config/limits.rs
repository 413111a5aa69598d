//! Limits that later versions than 3.4 brought. All are off unless they are set.

use super::error::ConfigError;
use super::options::{self, Opt};
use super::settings::Settings;

/// Limits that 3.4 does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Whether writes over a hard quota are refused.
    pub enforce_quota: bool,
    /// Whether a digest of the tree is kept.
    pub keeps_digest: bool,
    /// How many connections clients may have in all.
    pub max_cnxns: Option<usize>,
    /// How many requests of clients may be in process at once.
    pub max_requests: Option<usize>,
    /// How fast sessions may be asked for.
    pub connections: Option<ConnectionThrottle>,
    /// After how many bytes of transactions a snapshot is due, whatever their number.
    pub snap_size_bytes: Option<u64>,
}

/// A bucket of tokens, of which each session that is asked for takes one. (BlueThrottle of 3.6)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionThrottle {
    /// How many it holds at most, and at first.
    pub tokens: i64,
    /// In this time, milliseconds,
    pub fill_time_ms: i64,
    /// so many come back.
    pub fill_count: i64,
}

pub(super) fn limits(settings: &mut Settings) -> Result<Limits, ConfigError> {
    let tokens: i64 = settings.number(&options::CONNECTION_TOKENS)?;
    let throttle = ConnectionThrottle {
        tokens,
        fill_time_ms: settings.number(&options::CONNECTION_FILL_TIME)?,
        fill_count: settings.number(&options::CONNECTION_FILL_COUNT)?,
    };
    Ok(Limits {
        enforce_quota: settings.switch(&options::ENFORCE_QUOTA),
        keeps_digest: settings.switch(&options::DIGEST),
        max_cnxns: if_positive(settings, &options::MAX_CNXNS)?,
        max_requests: if_positive(settings, &options::REQUEST_THROTTLE)?,
        connections: Some(throttle).filter(|throttle| throttle.tokens > 0),
        snap_size_bytes: if_positive::<u64>(settings, &options::SNAP_SIZE_LIMIT)?.map(|kib| kib * 1024),
    })
}

/// A number of which 0 and less is none.
fn if_positive<T: TryFrom<i64>>(settings: &mut Settings, option: &Opt) -> Result<Option<T>, ConfigError> {
    let number: i64 = settings.number(option)?;
    Ok(T::try_from(number).ok().filter(|_| number > 0))
}
