//! Small histories, good and bad: each check finds its fault, and leaves what may be alone.

use std::collections::BTreeMap;

use super::*;

/// Written as lines: client, then what happened.
struct Script(History);

impl Script {
    fn new() -> Script {
        let mut script = Script(History::default());
        for client in 0..3 {
            script.connect(client, client as i64 + 1);
        }
        // Everything begins with two registers.
        script.call(0, 1_000, create("/r"), 1, Answer::Created("/r".into()));
        script.call(0, 1_001, create("/q"), 2, Answer::Created("/q".into()));
        script
    }

    fn push(&mut self, client: usize, what: What) {
        let at_ms = self.0.entries().len() as u64;
        self.0.push(at_ms, client, what);
    }

    fn connect(&mut self, client: usize, session: i64) {
        self.push(client, What::Connected { session, server: 1 });
    }

    fn invoke(&mut self, client: usize, op: u64, call: Call) {
        self.push(client, What::Invoke { op, call });
    }

    fn answer(&mut self, client: usize, op: u64, zxid: i64, answer: Answer) {
        self.push(client, What::Return { op, zxid, answer });
    }

    fn call(&mut self, client: usize, op: u64, call: Call, zxid: i64, answer: Answer) {
        self.invoke(client, op, call);
        self.answer(client, op, zxid, answer);
    }

    fn event(&mut self, client: usize, path: &str) {
        self.push(client, What::Event { path: path.into() });
    }

    fn promises(&self) -> Vec<&'static str> {
        let mut promises: Vec<_> = check(&self.0).into_iter().map(|v| v.promise).collect();
        promises.dedup();
        promises
    }
}

fn create(path: &str) -> Call {
    Call::Create {
        path: path.into(),
        value: format!("first of {path}"),
        ephemeral: false,
        sequential: false,
    }
}

fn ephemeral(path: &str) -> Call {
    Call::Create {
        path: path.into(),
        value: format!("first of {path}"),
        ephemeral: true,
        sequential: false,
    }
}

fn sequential(value: &str) -> Call {
    Call::Create {
        path: "/s/n-".into(),
        value: value.into(),
        ephemeral: false,
        sequential: true,
    }
}

fn set(value: &str) -> Call {
    Call::Set {
        path: "/r".into(),
        value: value.into(),
        version: None,
    }
}

fn set_if(value: &str, version: i32) -> Call {
    Call::Set {
        path: "/r".into(),
        value: value.into(),
        version: Some(version),
    }
}

fn get(path: &str) -> Call {
    Call::Get {
        path: path.into(),
        watch: false,
        synced: false,
    }
}

fn synced_get(path: &str) -> Call {
    Call::Get {
        path: path.into(),
        watch: false,
        synced: true,
    }
}

fn watching_get(path: &str) -> Call {
    Call::Get {
        path: path.into(),
        watch: true,
        synced: false,
    }
}

fn seen(mzxid: i64, version: i32) -> Seen {
    Seen { mzxid, version }
}

fn was_set(mzxid: i64, version: i32) -> Answer {
    Answer::Set(seen(mzxid, version))
}

fn got(mzxid: i64, version: i32, value: &str) -> Answer {
    Answer::Got(seen(mzxid, version), value.into())
}

#[test]
fn concurrent_writes_and_stale_reads_are_fine() {
    let mut script = Script::new();
    script.invoke(0, 1, set("a"));
    script.invoke(1, 2, set("b"));
    script.call(2, 3, synced_get("/r"), 4, got(4, 1, "b"));
    script.answer(0, 1, 5, was_set(5, 2));
    script.answer(1, 2, 4, was_set(4, 1));
    // Without a sync a read may be old, as long as its session has seen nothing newer.
    script.call(2, 4, get("/r"), 4, got(4, 1, "b"));
    script.call(2, 5, synced_get("/r"), 5, got(5, 2, "a"));
    assert_eq!(script.promises(), [""; 0]);
}

#[test]
fn a_synced_read_misses_nothing_that_was_answered() {
    let mut script = Script::new();
    script.call(0, 1, set("a"), 3, was_set(3, 1));
    script.call(1, 2, synced_get("/r"), 2, got(1, 0, "first of /r"));
    assert_eq!(script.promises(), ["a read after a sync shows the last write"]);
    // Nor what another has read.
    let mut script = Script::new();
    script.invoke(0, 1, set("a"));
    script.call(1, 2, get("/r"), 3, got(3, 1, "a"));
    script.call(2, 3, synced_get("/r"), 2, got(1, 0, "first of /r"));
    assert_eq!(script.promises(), ["a read after a sync shows the last write"]);
}

#[test]
fn a_synced_read_at_a_leader_that_was_replaced_misses_nothing_either() {
    let epoch = |epoch: i64, counter| (epoch << 32) + counter;
    let mut script = Script::new();
    script.call(0, 1, set("a"), epoch(1, 1), was_set(epoch(1, 1), 1));
    script.call(0, 2, set("b"), epoch(2, 1), was_set(epoch(2, 1), 2));
    script.call(1, 3, synced_get("/r"), epoch(1, 1), got(epoch(1, 1), 1, "a"));
    assert_eq!(script.promises(), ["a read after a sync shows the last write"]);
}

#[test]
fn an_unanswered_write_may_come_at_any_time_but_not_before_its_question() {
    let mut script = Script::new();
    script.invoke(0, 1, set("late"));
    script.push(0, What::Disconnected);
    script.call(1, 2, set("b"), 3, was_set(3, 1));
    script.call(1, 3, synced_get("/r"), 4, got(4, 2, "late"));
    assert_eq!(script.promises(), [""; 0]);
    let mut script = Script::new();
    script.call(1, 2, set("b"), 4, was_set(4, 2));
    script.invoke(0, 1, set("early"));
    script.call(2, 3, get("/r"), 3, got(3, 1, "early"));
    assert_eq!(
        script.promises(),
        ["a write comes after all that was answered before"]
    );
}

#[test]
fn a_write_happens_once_and_as_it_was_answered() {
    for (read, promise) in [
        (got(4, 2, "a"), "a write happens once"),
        (got(3, 2, "a"), "a zxid is one state"),
        (got(3, 1, "b"), "a zxid is one state"),
    ] {
        let mut script = Script::new();
        script.call(0, 1, set("a"), 3, was_set(3, 1));
        script.invoke(0, 9, set("b"));
        script.call(1, 2, get("/r"), 4, read);
        assert!(script.promises().contains(&promise), "{promise}");
    }
    let mut script = Script::new();
    script.call(0, 1, set("a"), 3, was_set(3, 2));
    script.call(1, 2, set("b"), 4, was_set(4, 1));
    assert_eq!(script.promises(), ["versions rise with zxids"]);
}

#[test]
fn what_is_refused_does_not_happen_and_conditions_hold() {
    let mut script = Script::new();
    let multi = Call::Multi(vec![
        set("a"),
        Call::Check {
            path: "/q".into(),
            version: 7,
        },
    ]);
    script.call(0, 1, multi.clone(), 3, Answer::Refused(-103));
    script.call(1, 2, get("/r"), 3, got(1, 0, "first of /r"));
    assert_eq!(script.promises(), [""; 0]);
    script.call(1, 3, get("/r"), 3, got(3, 1, "a"));
    assert_eq!(script.promises(), ["what is refused does not happen"]);
    let mut script = Script::new();
    script.call(0, 1, multi, 3, Answer::Multi(vec![was_set(3, 1), Answer::Done]));
    script.call(1, 2, set_if("b", 1), 4, was_set(4, 2));
    script.call(1, 3, get("/r"), 4, got(4, 2, "b"));
    assert_eq!(script.promises(), [""; 0]);
    script.invoke(1, 4, set_if("c", 1));
    script.call(2, 5, get("/r"), 5, got(5, 3, "c"));
    assert_eq!(script.promises(), ["a condition on the version holds"]);
    let mut script = Script::new();
    script.call(2, 5, get("/r"), 5, got(5, 3, "whence?"));
    assert_eq!(script.promises(), ["nothing is read that nobody wrote"]);
}

#[test]
fn writes_have_one_order_across_paths() {
    let mut script = Script::new();
    script.call(0, 1, set("a"), 4, was_set(4, 1));
    script.call(1, 2, create("/late"), 3, Answer::Created("/late".into()));
    assert_eq!(script.promises(), ["writes have the order of their zxids"]);
    let mut script = Script::new();
    script.invoke(0, 1, set("a"));
    script.call(1, 2, create("/same"), 4, Answer::Created("/same".into()));
    script.answer(0, 1, 4, was_set(4, 1));
    assert_eq!(script.promises(), ["a zxid is one write"]);
}

#[test]
fn a_session_sees_no_past_and_its_writes_keep_their_order() {
    let mut script = Script::new();
    script.call(0, 1, set("a"), 3, was_set(3, 1));
    script.push(0, What::Disconnected);
    script.connect(0, 1);
    script.call(0, 2, get("/r"), 3, got(1, 0, "first of /r"));
    assert_eq!(script.promises(), ["a session does not see the past again"]);
    let mut script = Script::new();
    script.call(0, 1, get("/r"), 5, got(1, 0, "first of /r"));
    script.call(0, 2, get("/r"), 4, got(1, 0, "first of /r"));
    assert_eq!(script.promises(), ["zxids do not go back within a session"]);
    // A new session has no past.
    let mut script = Script::new();
    script.call(0, 1, set("a"), 3, was_set(3, 1));
    script.push(0, What::Ended);
    script.connect(0, 11);
    script.call(0, 2, get("/r"), 2, got(1, 0, "first of /r"));
    assert_eq!(script.promises(), [""; 0]);
    // A request from before the move takes place after one from behind it.
    let mut script = Script::new();
    script.invoke(0, 1, set("before"));
    script.push(0, What::Disconnected);
    script.connect(0, 1);
    script.call(0, 2, set("behind"), 3, was_set(3, 1));
    assert_eq!(script.promises(), [""; 0]);
    script.call(1, 3, get("/r"), 4, got(4, 2, "before"));
    assert_eq!(script.promises(), ["a session's writes keep their order"]);
}

#[test]
fn an_event_comes_before_its_change_and_only_once() {
    let mut script = Script::new();
    script.call(0, 1, watching_get("/r"), 2, got(1, 0, "first of /r"));
    script.call(1, 2, set("a"), 3, was_set(3, 1));
    script.call(0, 3, get("/q"), 3, got(2, 0, "first of /q"));
    script.event(0, "/r");
    script.call(0, 4, get("/r"), 3, got(3, 1, "a"));
    assert_eq!(script.promises(), [""; 0]);
    script.event(0, "/r");
    assert_eq!(script.promises(), ["an event comes to who watches, once"]);
    // Also when it comes from another server.
    let mut script = Script::new();
    script.call(0, 1, watching_get("/r"), 2, got(1, 0, "first of /r"));
    script.call(1, 2, set("a"), 3, was_set(3, 1));
    script.push(0, What::Disconnected);
    script.connect(0, 1);
    script.call(0, 4, get("/r"), 3, got(3, 1, "a"));
    assert_eq!(script.promises(), ["an event comes before its change is seen"]);
    // A session that is over has no watches.
    let mut script = Script::new();
    script.call(0, 1, watching_get("/r"), 2, got(1, 0, "first of /r"));
    script.call(1, 2, set("a"), 3, was_set(3, 1));
    script.push(0, What::Ended);
    script.connect(0, 11);
    script.call(0, 4, get("/r"), 3, got(3, 1, "a"));
    assert_eq!(script.promises(), [""; 0]);
}

#[test]
fn numbers_are_given_once_and_rise() {
    let name = |n: u32| Answer::Created(format!("/s/n-{n:010}"));
    let mut script = Script::new();
    script.invoke(0, 1, sequential("a"));
    script.call(1, 2, sequential("b"), 3, name(0));
    script.call(1, 3, sequential("c"), 5, name(2));
    script.answer(0, 1, 4, name(1));
    assert_eq!(script.promises(), [""; 0]);
    script.call(2, 4, sequential("d"), 6, name(2));
    assert!(script.promises().contains(&"no number is given twice"));
    let mut script = Script::new();
    script.call(1, 2, sequential("b"), 3, name(3));
    script.call(1, 3, sequential("c"), 5, name(2));
    assert_eq!(script.promises(), ["numbers rise with time"]);
    let mut script = Script::new();
    script.call(1, 3, sequential("c"), 5, Answer::Refused(-110));
    assert_eq!(script.promises(), ["no number is given twice"]);
}

#[test]
fn an_ephemeral_lives_as_long_as_its_session() {
    let begin = || {
        let mut script = Script::new();
        script.call(0, 1, ephemeral("/e"), 3, Answer::Created("/e".into()));
        script
    };
    let mut script = begin();
    script.call(0, 2, get("/e"), 3, Answer::Missing);
    assert_eq!(script.promises(), ["a node stays while its session lives"]);
    let mut script = begin();
    script.call(1, 2, synced_get("/e"), 3, Answer::Missing);
    script.call(0, 4, get("/r"), 3, got(1, 0, "first of /r"));
    assert_eq!(script.promises(), [""; 0]);
    script.call(0, 3, set("a"), 4, was_set(4, 1));
    assert_eq!(script.promises(), ["an ephemeral lives as long as its session"]);
    let mut script = begin();
    script.invoke(0, 2, Call::Delete { path: "/e".into() });
    script.call(1, 3, synced_get("/e"), 4, Answer::Missing);
    script.call(0, 4, set("a"), 5, was_set(5, 1));
    script.call(0, 5, get("/e"), 5, Answer::Missing);
    assert_eq!(script.promises(), [""; 0]);
}

#[test]
fn the_end_has_what_was_acknowledged_and_nothing_else() {
    let mut script = Script::new();
    script.call(0, 1, create("/n/kept"), 3, Answer::Created("/n/kept".into()));
    script.call(0, 2, create("/n/gone"), 4, Answer::Created("/n/gone".into()));
    let gone = Call::Delete {
        path: "/n/gone".into(),
    };
    script.call(0, 3, gone, 5, Answer::Done);
    script.invoke(0, 4, create("/n/maybe"));
    script.invoke(1, 5, sequential("unheard"));
    let end = |paths: &[(&str, i64)]| {
        let nodes: BTreeMap<String, EndNode> = [("/r", 0), ("/q", 0)]
            .iter()
            .chain(paths)
            .map(|(path, owner)| ((*path).to_owned(), end_node(*owner)))
            .collect();
        let found = check_end(&script.0, &nodes, |session| session == 7);
        found.into_iter().map(|v| v.promise).collect::<Vec<_>>()
    };
    assert_eq!(end(&[("/n/kept", 0)]), [""; 0]);
    assert_eq!(
        end(&[("/n/kept", 0), ("/n/maybe", 0), ("/s/n-0000000003", 0)]),
        [""; 0]
    );
    assert_eq!(end(&[]), ["no acknowledged write is lost"]);
    assert_eq!(
        end(&[("/n/kept", 0), ("/n/gone", 0)]),
        ["no acknowledged write is lost"]
    );
    assert_eq!(
        end(&[("/n/kept", 0), ("/n/odd", 0)]),
        ["nothing is there that nobody made"]
    );
    let two = [("/n/kept", 0), ("/s/n-0000000003", 0), ("/s/n-0000000004", 0)];
    assert_eq!(end(&two), ["nothing is there that nobody made"]);
    assert_eq!(
        end(&[("/n/kept", 0), ("/y/x", 8)]),
        ["an ephemeral goes with its session"]
    );
    assert_eq!(end(&[("/n/kept", 0), ("/y/x", 7)]), [""; 0]);
}

#[test]
fn trees_are_compared_node_by_node() {
    let tree = |nodes: &[(&str, i32)]| nodes.iter().map(|(p, n)| ((*p).to_owned(), *n)).collect();
    let trees = |second: &[(&str, i32)]| BTreeMap::from([(1, tree(&[("/a", 1)])), (2, tree(second))]);
    assert_eq!(trees::check(&trees(&[("/a", 1)])), []);
    for other in [&[][..], &[("/a", 2)], &[("/a", 1), ("/b", 1)]] {
        assert_eq!(trees::check(&trees(other)).len(), 1);
    }
}

#[test]
fn what_a_client_found_odd_itself_is_told() {
    let mut script = Script::new();
    script.push(0, What::Broken("an answer to nobody".into()));
    assert_eq!(script.promises(), ["the protocol is kept"]);
}

fn end_node(owner: i64) -> EndNode {
    EndNode {
        owner,
        czxid: 1,
        pzxid: 1,
    }
}

#[test]
fn a_parent_has_the_zxid_of_its_last_child_or_a_later_one() {
    let end = |czxid| {
        let (parent, child) = (end_node(0), EndNode { czxid, ..end_node(0) });
        let nodes = [("/a", parent), ("/a/b", child)].map(|(path, node)| (path.to_owned(), node));
        check_end(&History::default(), &nodes.into(), |_| true)
    };
    assert_eq!(end(1), []);
    assert_eq!(end(2).len(), 1);
}
