//! Faults that are built in on purpose, to prove that the tests notice them.
//!
//! A checker that has never cried is worth nothing. Each [`SeededFault`] is one classic way to lose data or to
//! break a promise, with one line at the place where the code would be wrong. In a build without the feature
//! `seeded-faults`, which is every build but those of these proofs, [`SeededFault::on`] is the constant false
//! and the line is gone.
//!
//! With the feature, one fault of a process is on if the environment variable `OXKEEPER_SEEDED_FAULT` names it.
//! A simulator, which has a whole ensemble in one thread, plants one for that thread with
//! `SeededFault::plant`.

/// A fault that can be built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SeededFault {
    /// What is logged is acknowledged before it is synced.
    AckBeforeSync,
    /// NEWLEADER is acknowledged before what the leader sent is synced.
    AckNewLeaderBeforeSync,
    /// A learner enters an epoch before what its leader sent is synced.
    EpochBeforeSync,
    /// A promised epoch is kept in memory if the disk refuses it.
    AcceptedInMemory,
    /// A learner gives up its tree when the leader's begins to come, and bears the number of that one already.
    HalfTreeKept,
    /// A learner is told to cut its log, and does not.
    SkipTruncate,
    /// The log is cut, but snapshots that hold more are kept.
    KeepNewerSnapshots,
    /// A learner is sent all it lacks but the first transaction, and does not notice.
    DiffWithHole,
    /// A learner applies the second of two transactions before the first.
    CommitsSwapped,
    /// The leader's own log counts as that of another voter too.
    LeaderCountsTwice,
    /// A server that starts forgets the last transaction of its log.
    LastRecordLost,
    /// A parent's `cversion` is the number of its children.
    CversionByChildCount,
    /// A node that is read from a snapshot has lost its `pzxid`.
    PzxidNotRestored,
    /// The parts of a multi before the one that fails are carried out.
    MultiNotRolledBack,
    /// A session ends, its ephemerals stay.
    EphemeralsOutliveSession,
    /// A session that has moved may go on where it was before.
    MoveUnnoticed,
    /// A learner sends its clients' requests to the leader twice.
    RequestForwardedTwice,
    /// A learner answers a sync without asking the leader.
    SyncAnsweredAtOnce,
    /// A leader answers a sync without asking whether anybody follows it still.
    SyncUnproven,
    /// New data fires watches, but nobody is told.
    WatchLost,
    /// A watch on data is set only after the next change.
    WatchSetAfterRead,
    /// A client may read a change before the event that announces it.
    ReadBeforeEvents,
    /// Reads are served from a role that is over.
    EndedRoleServes,
}

impl SeededFault {
    /// All of them.
    pub const ALL: [SeededFault; 23] = [
        SeededFault::AckBeforeSync,
        SeededFault::AckNewLeaderBeforeSync,
        SeededFault::EpochBeforeSync,
        SeededFault::AcceptedInMemory,
        SeededFault::HalfTreeKept,
        SeededFault::SkipTruncate,
        SeededFault::KeepNewerSnapshots,
        SeededFault::DiffWithHole,
        SeededFault::CommitsSwapped,
        SeededFault::LeaderCountsTwice,
        SeededFault::LastRecordLost,
        SeededFault::CversionByChildCount,
        SeededFault::PzxidNotRestored,
        SeededFault::MultiNotRolledBack,
        SeededFault::EphemeralsOutliveSession,
        SeededFault::MoveUnnoticed,
        SeededFault::RequestForwardedTwice,
        SeededFault::SyncAnsweredAtOnce,
        SeededFault::SyncUnproven,
        SeededFault::WatchLost,
        SeededFault::WatchSetAfterRead,
        SeededFault::ReadBeforeEvents,
        SeededFault::EndedRoleServes,
    ];

    /// Its name, as the environment variable has it: that of the variant.
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// Whether the code is to be wrong in this way. Never, in a build without the feature.
    #[inline(always)]
    pub fn on(self) -> bool {
        #[cfg(feature = "seeded-faults")]
        return planted::current() == Some(self);
        #[cfg(not(feature = "seeded-faults"))]
        false
    }
}

#[cfg(feature = "seeded-faults")]
pub use planted::Planted;

#[cfg(feature = "seeded-faults")]
mod planted {
    use std::cell::Cell;
    use std::sync::OnceLock;

    use super::SeededFault;

    thread_local! {
        static OF_THREAD: Cell<Option<Option<SeededFault>>> = const { Cell::new(None) };
    }

    /// As long as it lives, this thread has the fault with which it was made. The last one made counts.
    #[derive(Debug)]
    pub struct Planted {
        before: Option<Option<SeededFault>>,
    }

    impl SeededFault {
        /// Turns one fault on for this thread, or all off, whatever the process has.
        #[must_use]
        pub fn plant(fault: Option<SeededFault>) -> Planted {
            Planted {
                before: OF_THREAD.replace(Some(fault)),
            }
        }
    }

    impl Drop for Planted {
        fn drop(&mut self) {
            OF_THREAD.set(self.before);
        }
    }

    pub(super) fn current() -> Option<SeededFault> {
        OF_THREAD.get().unwrap_or_else(of_process)
    }

    fn of_process() -> Option<SeededFault> {
        static OF_PROCESS: OnceLock<Option<SeededFault>> = OnceLock::new();
        *OF_PROCESS.get_or_init(|| {
            let name = std::env::var("OXKEEPER_SEEDED_FAULT")
                .ok()
                .filter(|name| !name.is_empty())?;
            let fault = SeededFault::ALL.into_iter().find(|fault| fault.name() == name);
            // A proof with a misspelt fault would prove nothing.
            Some(fault.unwrap_or_else(|| panic!("OXKEEPER_SEEDED_FAULT={name}: there is no such fault")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(feature = "seeded-faults"))]
    #[test]
    fn a_build_without_the_feature_has_no_fault() {
        assert!(SeededFault::ALL.iter().all(|fault| !fault.on()));
    }

    #[cfg(feature = "seeded-faults")]
    #[test]
    fn a_planted_fault_is_of_this_thread_and_ends() {
        let on = || {
            SeededFault::ALL
                .into_iter()
                .filter(|f| f.on())
                .collect::<Vec<_>>()
        };
        let none = SeededFault::plant(None);
        assert_eq!(on(), []);
        let planted = SeededFault::plant(Some(SeededFault::WatchLost));
        assert_eq!(on(), [SeededFault::WatchLost]);
        drop(planted);
        assert_eq!(on(), []);
        drop(none);
    }

    #[test]
    fn each_fault_is_in_the_list_once_and_in_order() {
        assert!(SeededFault::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(SeededFault::AckBeforeSync.name(), "AckBeforeSync");
    }
}
