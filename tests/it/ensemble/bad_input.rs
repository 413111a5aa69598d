//! What a member cannot start with: a message that names the file and the value, an exit code, nothing overwritten.
//! And what it can, although it looks odd.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::{create, create_soon};
use crate::support::cluster::{Cluster, Layout};
use crate::support::{LONG, wait_until};

/// A change to a member that has served in epoch 1.
type Change = fn(&Home);

/// The directory of a member that does not run.
struct Home<'a>(&'a Path);

impl Home<'_> {
    fn epoch(&self, name: &str, text: &str) {
        fs::write(self.version().join(name), text).expect("an epoch file");
    }

    fn without(&self, name: &str) {
        fs::remove_file(self.version().join(name)).expect("a file to remove");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.version().join(name)).unwrap_or_default()
    }

    fn my_id(&self, text: &str) {
        fs::write(self.0.join("data/myid"), text).expect("myid");
    }

    /// Puts something in place of a line of zoo.cfg.
    fn config(&self, start: &str, change: impl Fn(&str) -> String) {
        let text = fs::read_to_string(self.0.join("zoo.cfg")).expect("zoo.cfg");
        let lines = text.lines().map(|line| match line.starts_with(start) {
            true => change(line),
            false => line.to_owned(),
        });
        let lines: Vec<String> = lines.collect();
        fs::write(self.0.join("zoo.cfg"), lines.join("\n") + "\n").expect("zoo.cfg");
    }

    fn version(&self) -> std::path::PathBuf {
        self.0.join("data/version-2")
    }
}

/// Server 1 is changed and started; it ends with this code, having said all of these words.
const REFUSED: &[(&str, Change, i32, &[&str])] = &[
    (
        "a server is listed twice",
        |home| home.config("server.2=", |line| format!("{line}\nserver.2=127.0.0.1:1:2")),
        2,
        &[
            "zoo.cfg, line ",
            "server.2=127.0.0.1:1:2: server.2=127.0.0.1:",
            " was set before, ",
        ],
    ),
    (
        "a server is listed twice under two spellings",
        |home| home.config("server.2=", |line| format!("{line}\nserver.02=127.0.0.1:1:2")),
        2,
        &["zoo.cfg, line ", "server.02=127.0.0.1:1:2", " was set before, "],
    ),
    (
        "no election port",
        |home| home.config("server.3=", |_| "server.3=127.0.0.1:2888".to_owned()),
        2,
        &[
            "zoo.cfg, line ",
            "server.3=127.0.0.1:2888: Missing election port for server: 3",
        ],
    ),
    (
        "no myid",
        |home| fs::remove_file(home.0.join("data/myid")).expect("myid"),
        2,
        &["data/myid: cannot be read"],
    ),
    (
        "a myid that is no number",
        |home| home.my_id("one\n"),
        2,
        &["data/myid: serverid \"one\" is not a number"],
    ),
    (
        "an empty myid",
        |home| home.my_id(""),
        2,
        &["data/myid: serverid \"\" is not a number"],
    ),
    (
        "a myid of zeros, as a crash leaves them",
        |home| home.my_id("\0\0"),
        2,
        &["data/myid: serverid \"\\0\\0\" is not a number"],
    ),
    (
        "a myid that is not listed",
        |home| home.my_id("4"),
        2,
        &["data/myid: My id 4 not in the peer list of ", "zoo.cfg"],
    ),
    (
        "an empty currentEpoch",
        |home| home.epoch("currentEpoch", ""),
        14,
        &["version-2/currentEpoch should hold an epoch", "\"\""],
    ),
    (
        "a currentEpoch of zeros",
        |home| home.epoch("currentEpoch", "\0"),
        14,
        &["version-2/currentEpoch should hold an epoch", "\"\\0\""],
    ),
    (
        "an acceptedEpoch that is no number",
        |home| home.epoch("acceptedEpoch", "1x"),
        14,
        &["version-2/acceptedEpoch should hold an epoch", "\"1x\""],
    ),
    (
        "an acceptedEpoch that is no number, and no currentEpoch",
        |home| {
            home.epoch("acceptedEpoch", "?");
            home.without("currentEpoch");
        },
        14,
        &["version-2/acceptedEpoch should hold an epoch", "\"?\""],
    ),
    (
        "a currentEpoch before that of the data",
        |home| home.epoch("currentEpoch", "0"),
        14,
        &[
            "The current epoch, 0x0, is older than the last zxid, 0x1000000",
            "version-2/currentEpoch",
        ],
    ),
    (
        "a currentEpoch after acceptedEpoch",
        |home| home.epoch("currentEpoch", "2"),
        14,
        &[
            "The accepted epoch, 0x1 is less than the current epoch, 0x2",
            "version-2/acceptedEpoch",
        ],
    ),
    (
        "a currentEpoch after that of the data, and no acceptedEpoch",
        |home| {
            home.epoch("currentEpoch", "7");
            home.without("acceptedEpoch");
        },
        14,
        &[
            "The accepted epoch, 0x1 is less than the current epoch, 0x7",
            "version-2/acceptedEpoch",
        ],
    ),
    (
        "a directory in place of currentEpoch",
        |home| {
            home.without("currentEpoch");
            fs::create_dir(home.version().join("currentEpoch")).expect("a directory");
        },
        1,
        &["version-2/currentEpoch"],
    ),
];

/// Server 1 is changed and started; it joins the others, and its epoch files say what theirs say.
const MENDED: &[(&str, Change)] = &[
    ("no epoch files", |home| {
        home.without("currentEpoch");
        home.without("acceptedEpoch");
    }),
    ("no acceptedEpoch", |home| home.without("acceptedEpoch")),
    ("files that were being written at a crash", |home| {
        home.epoch("currentEpoch.tmp", "garb");
        home.epoch("acceptedEpoch.tmp", "");
    }),
    ("a snapshot of a new epoch at a crash", |home| {
        home.epoch("currentEpoch", "0");
        home.epoch("updatingEpoch", "");
    }),
    ("lines that an editor has ended", |home| {
        home.epoch("currentEpoch", "1\n");
        home.epoch("acceptedEpoch", "1\r\n");
    }),
];

#[test]
fn a_member_that_cannot_start_says_why_and_leaves_all_files_alone() {
    let mut cluster = Cluster::start(3, 0);
    create(&mut cluster.client(1), "/in-epoch-1");
    cluster.same_trees();
    cluster.kill(1);
    let kept = tempfile::tempdir().expect("a directory");
    copy(&cluster.home(1), kept.path());
    for (name, change, code, words) in REFUSED {
        copy(kept.path(), &cluster.home(1));
        let home = cluster.home(1);
        change(&Home(&home));
        let before = contents(&home);
        let output = run(&home.join("zoo.cfg"));
        let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
        assert_eq!(output.status.code(), Some(*code), "{name}:\n{text}");
        for word in *words {
            assert!(text.contains(word), "{name}: {word:?} is not in:\n{text}");
        }
        assert_eq!(contents(&home), before, "{name}: files have changed");
    }
    for (name, change) in MENDED {
        copy(kept.path(), &cluster.home(1));
        let path = cluster.home(1);
        let home = Home(&path);
        change(&home);
        cluster.start_one(1);
        let other = cluster.home(2);
        for file in ["currentEpoch", "acceptedEpoch"] {
            let (mine, theirs) = (home.read(file), Home(&other).read(file));
            assert_eq!(mine.trim(), theirs.trim(), "{name}: {file}");
        }
        assert!(!home.version().join("updatingEpoch").exists(), "{name}");
        assert!(cluster.same_trees().contains_key("/in-epoch-1"), "{name}");
        cluster.kill(1);
    }
}

#[test]
fn a_member_whose_directory_or_ports_are_taken_says_which_and_by_which_number() {
    let cluster = Cluster::start(3, 0);
    let zoo_cfg = cluster.home(2).join("zoo.cfg");
    let before = contents(&cluster.home(2));
    let output = run(&zoo_cfg);
    let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("version-2 is in use by another server"), "{text}");
    assert_eq!(contents(&cluster.home(2)), before, "files have changed");
    // The same number with a directory of its own.
    let twin = tempfile::tempdir().expect("a directory");
    copy(&cluster.home(2), twin.path());
    let home = Home(twin.path());
    let data = twin.path().join("data").display().to_string();
    home.config("dataDir=", |_| format!("dataDir={data}"));
    home.config("clientPort=", |_| {
        format!("clientPort={}", crate::support::process::free_port())
    });
    let output = run(&twin.path().join("zoo.cfg"));
    let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let port = cluster.election_address(2).port();
    for word in [
        &format!("election port 127.0.0.1:{port}"),
        "data/myid says that this is server 2",
    ] {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
}

#[test]
fn two_servers_with_one_number_are_told_of_and_the_others_go_on() {
    let mut cluster = Cluster::lay_out(&Layout {
        count: 4,
        lines: &["syncLimit=6"],
        ..Layout::default()
    });
    // The fourth place is taken by a second server 2, which all others believe to be elsewhere.
    for number in 1..=4 {
        let home = cluster.home(number);
        let home = Home(&home);
        let [quorum, election] = [cluster.quorum_address(4), cluster.election_address(4)].map(|at| at.port());
        home.config("server.4=", |_| String::new());
        if number == 4 {
            home.my_id("2");
            home.config("server.2=", |_| format!("server.2=127.0.0.1:{quorum}:{election}"));
        }
    }
    cluster.start_these(&[1, 2, 3]);
    create(&mut cluster.client(1), "/before-the-twin");
    cluster.spawn_these(&[4]);
    wait_until("a word about the twin", LONG, || {
        [1, 3]
            .iter()
            .any(|&number| cluster.log(number).contains("two servers with one myid"))
    });
    for number in [1, 3] {
        let told = cluster.log(number).matches("two servers with one myid").count();
        assert!(told <= 2, "server {number} has said so {told} times");
    }
    create_soon(&cluster, 3, "/beside-the-twin");
    create_soon(&cluster, 1, "/beside-the-twin-too");
    cluster.kill(4);
    assert!(cluster.same_trees().contains_key("/beside-the-twin"));
}

#[test]
fn a_member_that_has_promised_a_later_epoch_says_so_and_joins_the_next_leader() {
    let mut cluster = Cluster::start(3, 0);
    create(&mut cluster.client(1), "/in-epoch-1");
    let far = cluster.follower();
    cluster.kill(far);
    let path = cluster.home(far);
    let home = Home(&path);
    home.epoch("acceptedEpoch", "9");
    cluster.spawn_these(&[far]);
    let words = "is less than accepted epoch, 9, which the file acceptedEpoch holds";
    wait_until(words, LONG, || cluster.log(far).contains(words));
    let others: Vec<usize> = (1..=3).filter(|&number| number != far).collect();
    create_soon(&cluster, others[0], "/without-it");
    assert_eq!(home.read("acceptedEpoch"), "9");
    assert_eq!(cluster.mode(far), None);
    let told = cluster.log(far).matches(words).count();
    assert!(told <= 3, "told {told} times");
    // A new leader asks those who elect it for what they have promised.
    let leader = cluster.leader();
    cluster.kill(leader);
    cluster.leader();
    cluster.start_one(leader);
    cluster.wait_until_serving(far);
    assert!(cluster.same_trees().contains_key("/without-it"));
    assert!(
        home.read("currentEpoch")
            .parse::<i64>()
            .is_ok_and(|epoch| epoch >= 10)
    );
}

fn run(zoo_cfg: &Path) -> Output {
    // A server that is not refused would run for ever.
    let mut limited = Command::new("timeout");
    limited.args(["--kill-after=1", "20", env!("CARGO_BIN_EXE_oxkeeper"), "server"]);
    limited.arg(zoo_cfg).output().expect("timeout of coreutils")
}

/// Makes one directory as another is.
fn copy(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    let status = Command::new("cp").arg("-r").arg(from).arg(to).status();
    assert!(status.is_ok_and(|status| status.success()), "cp");
}

/// All files below a directory with what they hold.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.insert(path.display().to_string(), Vec::new());
            all.extend(contents(&path));
        } else {
            all.insert(path.display().to_string(), fs::read(&path).expect("a file"));
        }
    }
    all
}
