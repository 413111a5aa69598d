//! Requests that are nearly right: every operation with odd paths, numbers and lists, bytes changed and cut off.
//! The server answers or closes, lives on, and starts again on what it has written.

use std::time::Duration;

use oxkeeper::proto::multi::{MultiOp, encode_ops};
use oxkeeper::proto::requests::{
    CreateRequest, PathOnly, PathVersion, PathWatch, SetAclRequest, SetDataRequest, SetWatches,
};
use oxkeeper::proto::{Acl, Encode, ErrorCode, OpCode, Perms, Stat, Xid, Zxid};
use oxkeeper::tools::client::Client;

use crate::support::configured::Configured;
use crate::support::random::Random;

/// A body for an operation, most often a valid one.
fn body(op: OpCode, dice: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    write_body(op, dice, &mut out);
    if dice.chance(30) && !out.is_empty() {
        for _ in 0..1 + dice.below(4) {
            let place = dice.below(out.len());
            out[place] = dice.next() as u8;
        }
    }
    if dice.chance(12) {
        out.truncate(dice.below(out.len() + 1));
    }
    out
}

fn write_body(op: OpCode, dice: &mut Random, out: &mut Vec<u8>) {
    let path = PATHS[dice.below(PATHS.len())].into();
    let data = Some(dice.pick(&DATA));
    let version = [-1, 0, 1, i32::MAX, i32::MIN][dice.below(5)];
    let acl = match dice.below(4) {
        0 => vec![],
        1 => vec![Acl::new(Perms(dice.next() as i32), "digest", "u:x")],
        2 => vec![Acl::new(Perms::ALL, "auth", "")],
        _ => Acl::open(),
    };
    let flags = dice.below(5) as i32;
    match op {
        OpCode::Create => CreateRequest {
            path,
            data,
            acl,
            flags,
        }
        .encode(out),
        OpCode::Delete | OpCode::Check => PathVersion { path, version }.encode(out),
        OpCode::SetData => SetDataRequest { path, data, version }.encode(out),
        OpCode::GetAcl | OpCode::Sync => PathOnly { path }.encode(out),
        OpCode::SetAcl => SetAclRequest { path, acl, version }.encode(out),
        OpCode::Multi => encode_ops(
            &[
                MultiOp::Create(CreateRequest {
                    path: path.clone(),
                    data,
                    acl,
                    flags,
                }),
                MultiOp::SetData(SetDataRequest {
                    path: path.clone(),
                    data,
                    version,
                }),
                MultiOp::Check(PathVersion {
                    path: path.clone(),
                    version,
                }),
                MultiOp::Delete(PathVersion { path, version: -1 }),
            ],
            out,
        ),
        OpCode::SetWatches => {
            let relative_zxid = Zxid(dice.next() as i64);
            let lists = (vec![path.clone()], vec![path.clone()], vec![path]);
            let (data, exist, child) = lists;
            SetWatches {
                relative_zxid,
                data,
                exist,
                child,
            }
            .encode(out);
        }
        OpCode::Ping => {}
        _ => PathWatch {
            path,
            watch: dice.chance(50),
        }
        .encode(out),
    }
}

/// Takes all answers until none comes for a moment; false if the server has closed.
fn take_answers(client: &mut Client, seed: u64) -> bool {
    loop {
        match client.receive() {
            Ok(_) => {}
            Err(error) if error.is_timeout() => return true,
            Err(error) if error.is_closed() => return false,
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
}

#[test]
fn nearly_right_requests_end_nothing_but_their_connection() {
    let mut server = Configured::start(&["snapCount=200"]);
    for seed in 1..=20 {
        let mut dice = Random::new(seed);
        let mut client = server.client();
        client
            .wire()
            .limit_reads(Duration::from_millis(1))
            .expect("a limit");
        for number in 0..150 {
            let op = OPS[dice.below(OPS.len())];
            let body = body(op, &mut dice);
            client.send_as(Xid(number), op.number(), |out| out.extend_from_slice(&body));
            if number % 10 == 0 && !take_answers(&mut client, seed) {
                break;
            }
        }
    }
    let before = stats(&mut server.client());
    server.kill_and_restart();
    assert_eq!(stats(&mut server.client()), before);
}

/// What exists says of the ordinary paths: it asks no ACL, and some of the requests have changed those.
fn stats(client: &mut Client) -> Vec<Result<Stat, ErrorCode>> {
    let ordinary = &PATHS[..5];
    let stats = ordinary
        .iter()
        .map(|path| client.exists(path, false).expect("an answer"));
    stats.collect()
}

const OPS: [OpCode; 15] = [
    OpCode::Create,
    OpCode::Create,
    OpCode::Delete,
    OpCode::Exists,
    OpCode::GetData,
    OpCode::SetData,
    OpCode::GetAcl,
    OpCode::SetAcl,
    OpCode::GetChildren,
    OpCode::GetChildren2,
    OpCode::Sync,
    OpCode::Ping,
    OpCode::Check,
    OpCode::Multi,
    OpCode::SetWatches,
];
const PATHS: [&str; 16] = [
    "/",
    "/a",
    "/a/b",
    "/a/c",
    "/e",
    "",
    "a",
    "/a/",
    "//",
    "/x\u{1}",
    "/\u{fffd}",
    "/zookeeper",
    "/zookeeper/quota",
    "/zookeeper/quota/a",
    "/zookeeper/quota/a/zookeeper_limits",
    "/zookeeper/quota/a/zookeeper_stats",
];
const DATA: [&[u8]; 5] = [
    b"",
    b"x",
    b"count=1,bytes=2",
    b"count=-9223372036854775808,bytes=99999999999999999999",
    b"count=,bytes=",
];
