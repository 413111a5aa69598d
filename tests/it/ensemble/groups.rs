//! Hierarchical quorums: most groups, and of each of them most of the weight. (QuorumHierarchical)

use super::{create, create_soon};
use crate::support::cluster::{Cluster, Layout};
use crate::support::{LONG, wait_until};

/// Waits until these servers have tried in vain for a while, and says that nobody serves.
fn assert_no_quorum(cluster: &Cluster, numbers: &[usize]) {
    let rounds = |number: usize| {
        let log = cluster.log(number);
        let life = log.rfind("Starting quorum peer").unwrap_or(0);
        // After every third of the others the pauses have grown past a second.
        log[life..].matches("Notification time out").count()
    };
    wait_until("several rounds without a leader", LONG, || {
        numbers.iter().all(|&number| rounds(number) >= 4)
    });
    for &number in numbers {
        assert_eq!(
            cluster.mode(number),
            None,
            "server {number} serves without a quorum"
        );
        let log = cluster.log(number);
        let life = log.rfind("Starting quorum peer").unwrap_or(0);
        assert!(
            !log[life..].contains("LEADING"),
            "server {number} leads without a quorum"
        );
    }
}

#[test]
fn of_three_groups_two_must_have_a_majority_of_their_own() {
    let mut cluster = Cluster::lay_out(&Layout {
        count: 5,
        lines: &["group.1=1:2", "group.2=3", "group.3=4:5", "syncLimit=6"],
        ..Layout::default()
    });
    // Three of five, but a majority of one group only.
    cluster.spawn_these(&[1, 3, 4]);
    assert_no_quorum(&cluster, &[1, 3, 4]);
    // Groups 1 and 2.
    cluster.spawn_these(&[2]);
    (1..=4).for_each(|number| cluster.wait_until_serving(number));
    create(&mut cluster.client(4), "/two-groups");
    // Three of five again, with a majority of group 1 alone: service ends.
    cluster.kill(3);
    wait_until("the end of service", LONG, || {
        [1, 2, 4].iter().all(|&number| cluster.mode(number).is_none())
    });
    // Groups 1 and 3.
    cluster.spawn_these(&[5]);
    [1, 2, 4, 5]
        .iter()
        .for_each(|&number| cluster.wait_until_serving(number));
    create_soon(&cluster, 1, "/again-two-groups");
    cluster.start_one(3);
    // Groups 2 and 3 are enough for a new leader.
    cluster.kill(1);
    cluster.kill(2);
    create_soon(&cluster, 3, "/the-other-two");
    cluster.start_these(&[1, 2]);
    let tree = cluster.same_trees();
    assert!(
        ["/two-groups", "/again-two-groups", "/the-other-two"]
            .iter()
            .all(|path| tree.contains_key(*path))
    );
}

#[test]
fn a_member_of_weight_zero_follows_without_a_say_and_never_leads() {
    let mut cluster = Cluster::lay_out(&Layout {
        count: 4,
        lines: &[
            "group.1=1",
            "group.2=2",
            "group.3=3:4",
            "weight.3=0",
            "weight.4=0",
            "syncLimit=6",
        ],
        ..Layout::default()
    });
    // Group 3 weighs nothing: of the two groups that count both are needed.
    cluster.spawn_these(&[1, 3, 4]);
    assert_no_quorum(&cluster, &[1, 3, 4]);
    cluster.spawn_these(&[2]);
    (1..=4).for_each(|number| cluster.wait_until_serving(number));
    assert_eq!(
        cluster.leader(),
        2,
        "of those who weigh something the largest leads"
    );
    assert_eq!(cluster.mode(4).as_deref(), Some("follower"));
    create(&mut cluster.client(4), "/by-one-without-weight");
    cluster.kill(3);
    cluster.kill(4);
    create_soon(&cluster, 1, "/without-them");
    cluster.start_these(&[3, 4]);
    assert!(cluster.same_trees().contains_key("/without-them"));
    cluster.kill(1);
    wait_until("the end of service", LONG, || {
        [2, 3, 4].iter().all(|&number| cluster.mode(number).is_none())
    });
}
