//! When transactions may be proposed that 3.4 cannot read: while every member of the ensemble has said that it
//! can. A member that is away may come back as a server of 3.4, so what it said in this reign counts, and nothing
//! else; unless there are such transactions already, or the operator has answered for it.

use std::collections::BTreeSet;

use crate::ensemble::{Ensemble, NewerTxns};
use crate::proto::Sid;

/// Who can read what, as a leader knows it.
#[derive(Debug)]
pub struct Readers {
    rule: NewerTxns,
    can: BTreeSet<Sid>,
    cannot: BTreeSet<Sid>,
    /// The history has such transactions.
    are_there: bool,
}

impl Readers {
    /// A leader's reign begins; it can read what it is about to propose.
    pub fn new(rule: NewerTxns, me: Sid, are_there: bool) -> Readers {
        Readers {
            rule,
            can: BTreeSet::from([me]),
            cannot: BTreeSet::new(),
            are_there,
        }
    }

    /// A member has said what it can.
    pub fn heard(&mut self, sid: Sid, can_read: bool) {
        let (here, there) = match can_read {
            true => (&mut self.can, &mut self.cannot),
            false => (&mut self.cannot, &mut self.can),
        };
        here.insert(sid);
        there.remove(&sid);
    }

    /// Such a transaction is proposed. Gives the members that must not be sent it.
    pub fn proposed(&mut self) -> BTreeSet<Sid> {
        self.are_there = true;
        self.cannot.clone()
    }

    /// Whether a member must not be sent the history: there is something in it that it cannot read.
    pub fn is_illegible_to(&self, sid: Sid) -> bool {
        self.are_there && !self.can.contains(&sid)
    }

    /// Whether such transactions may be made.
    pub fn may_propose(&self, ensemble: &Ensemble) -> bool {
        match self.rule {
            NewerTxns::Never => false,
            NewerTxns::Always => self.cannot.is_empty(),
            NewerTxns::Auto if self.are_there => true,
            NewerTxns::Auto => ensemble.members().keys().all(|sid| self.can.contains(sid)),
        }
    }
}

/// Why a server of 3.4 is sent away.
pub const ILLEGIBLE: &str =
    "There are containers or nodes with a time to live, which a server of ZooKeeper 3.4 cannot read";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zab::testing::ensemble;

    #[test]
    fn all_members_must_have_said_that_they_can() {
        let (three, me) = (ensemble(3, 0), Sid(1));
        let mut readers = Readers::new(NewerTxns::Auto, me, false);
        readers.heard(Sid(2), true);
        assert!(!readers.may_propose(&three));
        readers.heard(Sid(3), true);
        assert!(readers.may_propose(&three));
        // It came back as another server.
        readers.heard(Sid(2), false);
        assert!(!readers.may_propose(&three) && !readers.is_illegible_to(Sid(2)));
        readers.heard(Sid(2), true);
        assert!(readers.may_propose(&three));
    }

    #[test]
    fn what_is_there_need_not_be_kept_from_anybody_but_those_who_cannot_read_it() {
        let (three, me) = (ensemble(3, 0), Sid(1));
        let mut readers = Readers::new(NewerTxns::Auto, me, true);
        assert!(readers.may_propose(&three));
        readers.heard(Sid(2), false);
        readers.heard(Sid(3), true);
        assert!(readers.is_illegible_to(Sid(2)) && !readers.is_illegible_to(Sid(3)));
        let mut fresh = Readers::new(NewerTxns::Auto, me, false);
        fresh.proposed();
        assert!(fresh.is_illegible_to(Sid(2)));
    }

    #[test]
    fn the_operator_s_word_goes_before() {
        let (three, me) = (ensemble(3, 0), Sid(1));
        let mut always = Readers::new(NewerTxns::Always, me, false);
        assert!(always.may_propose(&three));
        always.heard(Sid(3), false);
        assert!(!always.may_propose(&three));
        let mut never = Readers::new(NewerTxns::Never, me, true);
        never.heard(Sid(2), true);
        never.heard(Sid(3), true);
        assert!(!never.may_propose(&three));
    }
}
