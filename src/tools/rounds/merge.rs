//! Several logs become one, in the order of time.
//!
//! Each log keeps its own order, also where its clock was set back; what several wrote in the same millisecond
//! goes by their numbers. Of logs that are read to their ends the
//! earliest event is always known. Of logs that grow it is not: a line may come later than a younger one of
//! another log. So events are held back for a little while, and what comes too late is told late.

use std::collections::VecDeque;

use super::event::Event;

/// Merges the events of some logs.
#[derive(Debug, Default)]
pub struct Merge {
    logs: Vec<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Each with the moment at which it was read, in milliseconds of any clock.
    events: VecDeque<(i64, Event)>,
    ended: bool,
}

impl Merge {
    /// Of as many logs.
    pub fn new(logs: usize) -> Merge {
        Merge {
            logs: (0..logs).map(|_| Waiting::default()).collect(),
        }
    }

    /// These were read from this log now.
    pub fn push(&mut self, log: usize, events: impl IntoIterator<Item = Event>, now_ms: i64) {
        if let Some(log) = self.logs.get_mut(log) {
            log.events.extend(events.into_iter().map(|event| (now_ms, event)));
        }
    }

    /// Nothing more will come from this log.
    pub fn end(&mut self, log: usize) {
        if let Some(log) = self.logs.get_mut(log) {
            log.ended = true;
        }
    }

    /// A log from which more must be read before the next event is known.
    pub fn wanting(&self) -> Option<usize> {
        self.logs
            .iter()
            .position(|log| log.events.is_empty() && !log.ended)
    }

    /// The next event, if it is known, or if it was read before this moment.
    pub fn pop(&mut self, read_before_ms: i64) -> Option<Event> {
        let heads = self.logs.iter().enumerate();
        let heads = heads.filter_map(|(index, log)| Some((index, log.events.front()?)));
        let (index, (read_ms, _)) = heads.min_by_key(|(_, (_, event))| (event.at, event.node))?;
        let known = self.wanting().is_none() || *read_ms < read_before_ms;
        known
            .then(|| self.logs[index].events.pop_front())?
            .map(|(_, event)| event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Sid;
    use crate::tools::rounds::event::What;
    use crate::tools::rounds::stamp::Stamp;

    fn event(at: i64, node: i64) -> Event {
        Event {
            at: Stamp(at),
            node: Sid(node),
            what: What::Started,
        }
    }

    fn drain(merge: &mut Merge, before_ms: i64) -> Vec<(i64, i64)> {
        std::iter::from_fn(|| merge.pop(before_ms))
            .map(|event| (event.at.0, event.node.0))
            .collect()
    }

    #[test]
    fn events_come_in_the_order_of_time_and_each_log_keeps_its_own() {
        let mut merge = Merge::new(2);
        // The clock of the first was set back.
        merge.push(0, [event(10, 1), event(5, 1), event(30, 1)], 0);
        merge.push(1, [event(7, 2), event(10, 2), event(20, 2)], 0);
        (0..2).for_each(|log| merge.end(log));
        assert_eq!(
            drain(&mut merge, 0),
            [(7, 2), (10, 1), (5, 1), (10, 2), (20, 2), (30, 1)]
        );
    }

    #[test]
    fn a_log_that_is_silent_is_waited_for_but_not_for_ever() {
        let mut merge = Merge::new(2);
        merge.push(0, [event(10, 1), event(20, 1)], 100);
        assert_eq!((merge.pop(100), merge.wanting()), (None, Some(1)));
        merge.push(1, [event(5, 2)], 150);
        assert_eq!(drain(&mut merge, 100), [(5, 2)]);
        assert_eq!(drain(&mut merge, 101), [(10, 1), (20, 1)]);
        merge.push(0, [event(30, 1)], 200);
        merge.end(1);
        assert_eq!(drain(&mut merge, 101), [(30, 1)]);
    }
}
