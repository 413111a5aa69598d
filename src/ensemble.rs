//! Who is in the ensemble, in which role, and what a quorum of it is. Pure values.

use std::collections::{BTreeMap, BTreeSet};

use crate::proto::ids::Sid;

/// What a server may do in its ensemble. (QuorumPeer.LearnerType)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It votes.
    Participant,
    /// It only follows.
    Observer,
}

/// Whether transactions may be made that 3.4 cannot read: those of containers and of nodes with a time to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewerTxns {
    /// While every member of the ensemble can read them.
    Auto,
    /// The operator answers for the members that are away.
    Always,
    /// The operator wants to keep the way back to 3.4.
    Never,
}

/// One server of the ensemble. (QuorumPeer.QuorumServer)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub sid: Sid,
    /// Its name or address, to be resolved before each connect.
    pub host: String,
    /// The port on which it accepts learners when it leads.
    pub quorum_port: u16,
    /// The port of the election.
    pub election_port: u16,
    /// Its role.
    pub role: Role,
}

/// All servers and what a quorum of them is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ensemble {
    members: BTreeMap<Sid, Member>,
    verifier: QuorumVerifier,
}

impl Ensemble {
    /// An ensemble whose quorums `verifier` knows.
    pub fn new(members: impl IntoIterator<Item = Member>, verifier: QuorumVerifier) -> Ensemble {
        let members = members.into_iter().map(|member| (member.sid, member)).collect();
        Ensemble { members, verifier }
    }

    /// All servers by their numbers.
    pub fn members(&self) -> &BTreeMap<Sid, Member> {
        &self.members
    }

    /// The list as clients of 3.5 read it. (QuorumMaj.toString of 3.9)
    pub fn text(&self) -> String {
        let line = |member: &Member| {
            let role = match member.role {
                Role::Participant => "participant",
                Role::Observer => "observer",
            };
            let Member {
                sid,
                host,
                quorum_port,
                election_port,
                ..
            } = member;
            format!("server.{sid}={host}:{quorum_port}:{election_port}:{role}\n")
        };
        self.members.values().map(line).collect::<String>() + "version=0"
    }

    /// One server.
    pub fn member(&self, sid: Sid) -> Option<&Member> {
        self.members.get(&sid)
    }

    /// The numbers of those that vote. (QuorumPeer.getVotingView)
    pub fn voters(&self) -> impl Iterator<Item = Sid> + '_ {
        let participants = self.members.values().filter(|m| m.role == Role::Participant);
        participants.map(|member| member.sid)
    }

    /// Whether a server votes.
    pub fn is_voter(&self, sid: Sid) -> bool {
        self.member(sid)
            .is_some_and(|member| member.role == Role::Participant)
    }

    /// What a quorum is.
    pub fn verifier(&self) -> &QuorumVerifier {
        &self.verifier
    }
}

/// Says which sets of servers are quorums: any two of them share a server.
///
/// Only voters count; 3.4.14 trusts its callers never to ask about others. (QuorumVerifier)
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuorumVerifier {
    /// More than half of the voters. (QuorumMaj)
    Majority(BTreeSet<Sid>),
    /// A majority of groups, each by a majority of its weights. (QuorumHierarchical)
    Hierarchical(Hierarchy),
}

impl QuorumVerifier {
    /// More than half of these.
    pub fn majority(voters: impl IntoIterator<Item = Sid>) -> QuorumVerifier {
        QuorumVerifier::Majority(voters.into_iter().collect())
    }

    /// How much a server's vote weighs. One with weight 0 is never elected.
    pub fn weight(&self, sid: Sid) -> u64 {
        match self {
            QuorumVerifier::Majority(_) => 1,
            QuorumVerifier::Hierarchical(hierarchy) => hierarchy
                .voters
                .get(&sid)
                .map_or(0, |voter| u64::from(voter.weight)),
        }
    }

    /// Whether these servers are a quorum. A server that is named twice counts once.
    pub fn contains_quorum(&self, servers: impl IntoIterator<Item = Sid>) -> bool {
        let servers: BTreeSet<Sid> = servers.into_iter().collect();
        match self {
            QuorumVerifier::Majority(voters) => servers.intersection(voters).count() > voters.len() / 2,
            QuorumVerifier::Hierarchical(hierarchy) => hierarchy.contains_quorum(&servers),
        }
    }
}

/// Voters in groups, with weights.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hierarchy {
    voters: BTreeMap<Sid, GroupMember>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct GroupMember {
    group: i64,
    weight: u32,
}

impl Hierarchy {
    /// Nobody yet.
    pub fn new() -> Hierarchy {
        Hierarchy::default()
    }

    /// Puts a server into a group, out of the one it was in.
    pub fn add(&mut self, sid: Sid, group: i64, weight: u32) {
        self.voters.insert(sid, GroupMember { group, weight });
    }

    fn contains_quorum(&self, servers: &BTreeSet<Sid>) -> bool {
        let all = weights(self.voters.values());
        let present = self.voters.iter().filter(|(sid, _)| servers.contains(sid));
        let present = weights(present.map(|(_, voter)| voter));
        let won = present.iter().filter(|(group, weight)| **weight > all[group] / 2);
        // A group without weight has no say: it counts neither here nor there.
        let groups = all.values().filter(|&&weight| weight > 0).count();
        won.count() > groups / 2
    }
}

/// The weight of each group.
fn weights<'a>(voters: impl Iterator<Item = &'a GroupMember>) -> BTreeMap<i64, u64> {
    let mut weights = BTreeMap::new();
    for voter in voters {
        *weights.entry(voter.group).or_default() += u64::from(voter.weight);
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sids(numbers: &[i64]) -> Vec<Sid> {
        numbers.iter().map(|&n| Sid(n)).collect()
    }

    #[test]
    fn a_majority_is_more_than_half_of_the_voters() {
        for (voters, servers, quorum) in [
            (&[1, 2, 3][..], &[][..], false),
            (&[1, 2, 3], &[1], false),
            (&[1, 2, 3], &[1, 3], true),
            (&[1, 2, 3], &[1, 1, 1], false),
            (&[1, 2, 3], &[1, 8, 9], false),
            (&[1, 2, 3, 4], &[1, 2], false),
            (&[1, 2, 3, 4], &[1, 2, 4], true),
            (&[1], &[1], true),
        ] {
            let verifier = QuorumVerifier::majority(sids(voters));
            assert_eq!(
                verifier.contains_quorum(sids(servers)),
                quorum,
                "{servers:?} of {voters:?}"
            );
        }
    }

    /// Groups as (group, [(sid, weight)]).
    fn hierarchical(groups: &[(i64, &[(i64, u32)])]) -> QuorumVerifier {
        let mut hierarchy = Hierarchy::new();
        for (group, voters) in groups {
            voters
                .iter()
                .for_each(|&(sid, weight)| hierarchy.add(Sid(sid), *group, weight));
        }
        QuorumVerifier::Hierarchical(hierarchy)
    }

    /// Checked by hand against QuorumHierarchical.containsQuorum.
    #[test]
    fn a_hierarchical_quorum_is_a_majority_of_groups_each_by_weight() {
        let nine: &[(i64, &[(i64, u32)])] = &[
            (1, &[(1, 1), (2, 1), (3, 1)]),
            (2, &[(4, 1), (5, 1), (6, 1)]),
            (3, &[(7, 1), (8, 1), (9, 1)]),
        ];
        let heavy: &[(i64, &[(i64, u32)])] = &[(1, &[(1, 3), (2, 1), (3, 1)])];
        let with_zero: &[(i64, &[(i64, u32)])] = &[(1, &[(1, 1), (2, 1), (3, 0)]), (2, &[(4, 0), (5, 0)])];
        let two: &[(i64, &[(i64, u32)])] = &[(1, &[(1, 1)]), (2, &[(2, 1)])];
        for (groups, servers, quorum) in [
            (nine, &[1, 2, 4, 5][..], true),
            (nine, &[1, 2, 3, 4, 7], false),
            (nine, &[1, 4, 7], false),
            (nine, &[], false),
            (heavy, &[1], true),
            (heavy, &[2, 3], false),
            (with_zero, &[1, 2], true),
            (with_zero, &[1, 3, 4, 5], false),
            (with_zero, &[3, 4, 5], false),
            (two, &[1], false),
            (two, &[1, 2], true),
            (two, &[1, 77], false),
        ] {
            let verifier = hierarchical(groups);
            assert_eq!(
                verifier.contains_quorum(sids(servers)),
                quorum,
                "{servers:?} of {groups:?}"
            );
        }
    }

    #[test]
    fn two_quorums_share_a_server() {
        let verifier = hierarchical(&[
            (1, &[(0, 2), (1, 1), (2, 1)]),
            (2, &[(3, 1), (4, 1), (5, 0)]),
            (3, &[(6, 5), (7, 1), (8, 3)]),
        ]);
        let is_quorum = |set: u32| verifier.contains_quorum((0..9).filter(|n| set >> n & 1 == 1).map(Sid));
        for set in 0..1 << 9 {
            let rest = !set & 0x1ff;
            assert!(!(is_quorum(set) && is_quorum(rest)), "{set:b} and {rest:b}");
        }
    }

    #[test]
    fn weights_are_one_without_groups_and_none_for_strangers_with_them() {
        assert_eq!(QuorumVerifier::majority(sids(&[1])).weight(Sid(1)), 1);
        let verifier = hierarchical(&[(1, &[(1, 4), (2, 0)])]);
        assert_eq!([1, 2, 3].map(|sid| verifier.weight(Sid(sid))), [4, 0, 0]);
    }

    #[test]
    fn only_participants_vote() {
        let member = |sid, role| Member {
            sid: Sid(sid),
            host: "host".to_owned(),
            quorum_port: 2888,
            election_port: 3888,
            role,
        };
        let members = [member(2, Role::Observer), member(1, Role::Participant)];
        let ensemble = Ensemble::new(members, QuorumVerifier::majority([Sid(1)]));
        assert_eq!(ensemble.voters().collect::<Vec<_>>(), [Sid(1)]);
        assert!(ensemble.is_voter(Sid(1)) && !ensemble.is_voter(Sid(2)) && !ensemble.is_voter(Sid(3)));
    }
}
