//! Requests that wait until there is room inside. (RequestThrottler of 3.6)

use crate::proto::OpCode;
use crate::request::{Origin, Request};

use super::desk::Desk;
use super::table::Table;

/// Takes from the requests of a round what is too much for now, in order; it is to come first in the next round.
/// What waits goes with its connection, but for the end of a session.
pub(super) fn hold_back<S>(
    chain: &mut Vec<Request>,
    most_inside: usize,
    table: &Table<S>,
    desk: &Desk,
) -> Vec<Request> {
    let inside = usize::try_from(desk.gate.in_process()).unwrap_or(0);
    let free = most_inside.saturating_sub(inside);
    if chain.len() <= free {
        return Vec::new();
    }
    let counters = &desk.status.metrics.counters;
    let before = chain.len();
    chain.retain(|request| match request.origin {
        Origin::Client(conn) => request.op == OpCode::CloseSession || table.get(conn).is_some(),
        Origin::Learner(_) | Origin::Server => true,
    });
    counters.stale_dropped.add((before - chain.len()) as u64);
    let waits = chain.split_off(chain.len().min(free));
    counters.throttled.add(u64::from(!waits.is_empty()));
    waits
}
