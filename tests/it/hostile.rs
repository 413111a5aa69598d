//! Requests that are nearly right: every operation with odd paths, numbers and lists, bytes changed and cut off.
//! The server answers or closes, lives on, and starts again on what it has written.

use std::time::Duration;

use oxkeeper::proto::multi::{MultiOp, encode_ops};
use oxkeeper::proto::requests::{
    CreateRequest, PathOnly, PathVersion, PathWatch, SetAclRequest, SetDataRequest, SetWatches,
};
use oxkeeper::proto::{Acl, Encode, OpCode, Perms, Xid, Zxid};
use oxkeeper::tools::client::Client;

use super::server::Server;

/// A row of numbers from a seed (xorshift).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

/// A body for an operation, most often a valid one.
fn body(op: OpCode, dice: &mut Dice) -> Vec<u8> {
    let mut out = Vec::new();
    write_body(op, dice, &mut out);
    if dice.below(3) == 0 && !out.is_empty() {
        for _ in 0..1 + dice.below(4) {
            let place = dice.below(out.len());
            out[place] = dice.next() as u8;
        }
    }
    if dice.below(8) == 0 {
        out.truncate(dice.below(out.len() + 1));
    }
    out
}

fn write_body(op: OpCode, dice: &mut Dice, out: &mut Vec<u8>) {
    let path = dice.pick(&PATHS).into();
    let data = Some(dice.pick(&DATA));
    let version = dice.pick(&[-1, 0, 1, i32::MAX, i32::MIN]);
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
            watch: dice.below(2) == 0,
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
    let mut server = Server::start(&["snapCount=200"]);
    for seed in 1..=20 {
        let mut dice = Dice(seed);
        let mut client = server.client();
        client
            .wire()
            .limit_reads(Duration::from_millis(1))
            .expect("a limit");
        for number in 0..150 {
            let op = dice.pick(&OPS);
            let body = body(op, &mut dice);
            client.send_as(Xid(number), op.number(), |out| out.extend_from_slice(&body));
            if number % 10 == 0 && !take_answers(&mut client, seed) {
                break;
            }
        }
    }
    let mut client = server.client();
    let (names, _) = client
        .get_children2("/", false)
        .expect("an answer")
        .expect("the root");
    server.kill_and_restart();
    let mut client = server.client();
    let (again, _) = client
        .get_children2("/", false)
        .expect("an answer")
        .expect("the root");
    assert_eq!(sorted(again), sorted(names));
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
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
