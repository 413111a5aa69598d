//! Paths, data and ACLs: few enough to meet again, odd enough to be refused.

use oxkeeper::auth::digest_of;
use oxkeeper::proto::requests::{CreateRequest, SetDataRequest};
use oxkeeper::proto::{Acl, Perms};

use crate::support::random::Random;

/// A frame's length that is one too many.
pub const TOO_LONG: i32 = 1_048_576;

/// A path, mostly a good one.
pub fn path(random: &mut Random) -> String {
    match random.below(100) {
        0..=3 => random.pick(ODD_PATHS).to_owned(),
        4..=7 => random.pick(QUOTA_PATHS).to_owned(),
        8 => "/".to_owned(),
        _ => plain_path(random),
    }
}

fn plain_path(random: &mut Random) -> String {
    let mut path = String::new();
    let depth = [1, 1, 2, 2, 2, 3, 3, 4][random.below(8)];
    for _ in 0..depth {
        path.push('/');
        path.push_str(random.pick(NAMES));
    }
    if random.chance(10) {
        // Where a sequential node may be.
        path.push_str(&format!("{:010}", random.below(30)));
    }
    path
}

/// A create: good, bad, sequential, ephemeral.
pub fn create(random: &mut Random) -> CreateRequest<'static> {
    let mut path = path(random);
    let flags = match random.below(20) {
        0..=9 => 0,
        10..=12 => 1,
        13..=15 => 2,
        16..=17 => 3,
        18 => 0,
        _ => [4, -1, 99][random.below(3)],
    };
    // Which of a session's ephemerals goes first decides whether a quota still counts the others: none of its own.
    let flags = if path.starts_with("/zookeeper/quota/") {
        flags & !1
    } else {
        flags
    };
    if random.chance(5) {
        path.push('/');
    }
    let acl = if random.chance(75) {
        Acl::open()
    } else {
        acl(random)
    };
    let data = data_of(&path, random);
    CreateRequest {
        path: path.into(),
        data,
        acl,
        flags,
    }
}

/// A setData.
pub fn set_data(random: &mut Random) -> SetDataRequest<'static> {
    let path = path(random);
    let data = data_of(&path, random);
    SetDataRequest {
        path: path.into(),
        data,
        version: version(random),
    }
}

/// A setData that nearly fills a frame.
pub fn large_set_data(random: &mut Random) -> SetDataRequest<'static> {
    let path = plain_path(random).into();
    let data = Some(&ZEROS[..1_048_400]);
    SetDataRequest {
        path,
        data,
        version: -1,
    }
}

/// Below the quotas only what 3.4.14 can read: anything else ends its process. (DataTree, StatsTrack)
fn data_of(path: &str, random: &mut Random) -> Option<&'static [u8]> {
    if path.starts_with("/zookeeper/quota/") {
        Some(b"count=3,bytes=20")
    } else {
        data(random)
    }
}

/// A version: mostly any, or one that may be right.
pub fn version(random: &mut Random) -> i32 {
    if random.chance(60) {
        -1
    } else {
        random.below(6) as i32 - 2
    }
}

/// An ACL of every kind, some of them not allowed.
pub fn acl(random: &mut Random) -> Vec<Acl> {
    let count = [0, 1, 1, 1, 1, 2, 2, 3][random.below(8)];
    (0..count).map(|_| acl_entry(random)).collect()
}

fn acl_entry(random: &mut Random) -> Acl {
    let perms = Perms([31, 31, 31, 1, 2, 16, 3, 15, 0, 32, -1][random.below(11)]);
    match random.below(12) {
        0..=3 => Acl::new(perms, "world", "anyone"),
        4..=5 => Acl::new(perms, "auth", ""),
        6 => Acl::new(perms, "digest", digest_of("ann:a")),
        7 => Acl::new(perms, "digest", digest_of("bob:b")),
        8 => Acl::new(perms, "ip", "127.0.0.1"),
        9 => Acl::new(
            perms,
            "ip",
            random.pick(&["10.0.0.1", "127.0.0.0/8", "x", "::1", "1.2.3"]),
        ),
        10 => Acl::new(perms, "digest", random.pick(&["", "a", "a:b:c", "a:b"])),
        _ => Acl::new(
            perms,
            random.pick(&["", "nosuch", "world", "super", "sasl"]),
            random.pick(&["", "x", "anyone"]),
        ),
    }
}

/// Nothing, a little, and rarely much.
fn data(random: &mut Random) -> Option<&'static [u8]> {
    match random.below(40) {
        0..=2 => None,
        3..=6 => Some(b""),
        7 => Some(&ZEROS[..random.below(100_000)]),
        _ => Some(&LETTERS[..random.below(LETTERS.len())]),
    }
}

const NAMES: &[&str] = &["a", "b", "c", "d", "eé", "s-"];

/// Soft limits, which change no answer but the stats node's data.
const QUOTA_PATHS: &[&str] = &[
    "/zookeeper",
    "/zookeeper/quota",
    "/zookeeper/quota/a",
    "/zookeeper/quota/a/zookeeper_limits",
    "/zookeeper/quota/a/zookeeper_stats",
    "/zookeeper/quota/b",
    "/zookeeper/x",
];

const ODD_PATHS: &[&str] = &[
    "",
    "a",
    "a/b",
    "//",
    "/a//b",
    "/a/",
    "/.",
    "/..",
    "/a/./b",
    "/a/../b",
    "/...",
    "/a.b",
    "/a\u{0}b",
    "/\u{1}",
    "/\u{1f}",
    "/\u{7f}",
    "/\u{80}",
    "/\u{9f}",
    "/\u{d7ff}",
    "/\u{f8ff}",
    "/\u{f8fe}",
    "/\u{fff0}",
    "/\u{fffe}",
    "/\u{ffff}",
    "/a b",
    "/a/b\n",
    "/日本",
];

const LETTERS: &[u8; 26] = b"abcdefghijklmnopqrstuvwxyz";

static ZEROS: [u8; 1_048_576] = [0; 1_048_576];
