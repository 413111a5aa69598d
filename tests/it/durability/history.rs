//! What a client writes and what it was promised: a numbered sequence of writes, so that what a server has after
//! a restart can be judged. It must be a beginning of the sequence, and hold all that was acknowledged.

use std::net::SocketAddr;
use std::time::Duration;

use oxkeeper::proto::requests::{CreateRequest, PathWatch, SetDataRequest};
use oxkeeper::proto::{Acl, Encode, ErrorCode, OpCode, Stat, Xid};
use oxkeeper::tools::client::{Client, Handshake};
use oxkeeper::tools::wire::ClientError;

/// A client's writes below a node of its own. Write `n` sets the counter to `n`, or, each tenth, makes node `n`.
#[derive(Debug, Clone)]
pub struct History {
    home: String,
    /// The first write that nothing is known of.
    next: u64,
    /// Writes below this one were acknowledged.
    acknowledged: u64,
    /// Nodes of writes below this one were looked at.
    checked: u64,
    /// The newest transaction of which an answer told.
    last_zxid: i64,
    data: Vec<u8>,
}

impl History {
    /// No write yet, at least `size_bytes` of data in each to come.
    pub fn new(home: &str, size_bytes: usize) -> History {
        History {
            home: home.to_owned(),
            next: 0,
            acknowledged: 0,
            checked: 0,
            last_zxid: 0,
            data: vec![b'.'; size_bytes],
        }
    }

    /// How many writes were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Makes what the writes need.
    pub fn prepare(&self, address: SocketAddr) {
        let mut client = connect(address).expect("a session");
        for path in [self.home.clone(), self.counter()] {
            let made = client.create(&path, b"", &Acl::open(), 0).expect("an answer");
            assert_eq!(made, Ok(path));
        }
        client.close().expect("an answer").expect("a closed session");
    }

    /// Writes so many windows of writes.
    pub fn write(&mut self, address: SocketAddr, windows: usize) {
        let mut client = connect(address).expect("a session");
        for _ in 0..windows {
            self.write_some(&mut client).expect("answers");
        }
    }

    /// Writes, many at a time, until the connection breaks; answers that came count even then.
    pub fn write_until_broken(&mut self, address: SocketAddr) {
        let Ok(mut client) = connect(address) else {
            return;
        };
        while self.write_some(&mut client).is_ok() {}
    }

    fn write_some(&mut self, client: &mut Client) -> Result<(), ClientError> {
        let mut xids = Vec::new();
        for _ in 0..WINDOW {
            xids.push((self.next, self.send(client)));
            self.next += 1;
        }
        client.wire().flush()?;
        for (number, xid) in xids {
            let reply = client.receive_reply(xid)?;
            assert_eq!(reply.error, ErrorCode::Ok, "write {number} of {}", self.home);
            assert!(
                reply.zxid.0 > self.last_zxid,
                "the zxid of write {number} does not rise"
            );
            self.last_zxid = reply.zxid.0;
            self.acknowledged = number + 1;
        }
        Ok(())
    }

    fn send(&self, client: &mut Client) -> Xid {
        let mut data = self.next.to_string().into_bytes();
        data.extend_from_slice(&self.data);
        if self.next.is_multiple_of(CREATE_EACH) {
            let (path, acl) = (self.node(self.next).into(), Acl::open());
            let request = CreateRequest {
                path,
                data: Some(&data),
                acl,
                flags: 0,
            };
            return client.send(OpCode::Create, |out| request.encode(out));
        }
        let request = SetDataRequest {
            path: self.counter().into(),
            data: Some(&data),
            version: -1,
        };
        client.send(OpCode::SetData, |out| request.encode(out))
    }

    /// Judges what a server has, and goes on from there. Only nodes that are new since the last time are looked at.
    pub fn check(&mut self, address: SocketAddr) {
        let mut client = connect(address).expect("a session");
        let seen = client.ping().expect("an answer");
        assert!(seen.0 >= self.last_zxid, "the server went back to {seen}");
        let there = self.count(&mut client);
        assert!(
            there >= self.acknowledged,
            "{}: {} writes were acknowledged, and {there} are there",
            self.home,
            self.acknowledged
        );
        assert!(
            there <= self.next,
            "{}: {there} writes are there, {} were sent",
            self.home,
            self.next
        );
        self.check_nodes(&mut client, there);
        (self.next, self.acknowledged, self.checked) = (there, there, there);
        client.close().expect("an answer").expect("a closed session");
    }

    /// The same, of all nodes that were ever made.
    pub fn check_all(&mut self, address: SocketAddr) {
        self.checked = 0;
        self.check(address);
    }

    /// How many writes the server has: the newest one tells.
    fn count(&self, client: &mut Client) -> u64 {
        let children = client
            .get_children(&self.home, false)
            .expect("an answer")
            .expect("the home");
        let newest = children
            .iter()
            .filter_map(|name| name.strip_prefix('n')?.parse::<u64>().ok())
            .max();
        let (data, stat) = client
            .get_data(&self.counter(), false)
            .expect("an answer")
            .expect("the counter");
        let text = String::from_utf8(data.unwrap_or_default()).expect("a number");
        let set = text.trim_end_matches('.').parse::<u64>().ok();
        let count = newest.max(set).map_or(0, |number| number + 1);
        // Each tenth write is a create, the others are sets.
        let sets = count - count.div_ceil(CREATE_EACH);
        assert_eq!(
            u64::try_from(stat.version),
            Ok(sets),
            "{}: {count} writes and {stat:?}",
            self.home
        );
        count
    }

    /// All nodes of the first `count` writes and no others, made one after the other.
    fn check_nodes(&self, client: &mut Client, count: u64) {
        let children = client
            .get_children(&self.home, false)
            .expect("an answer")
            .expect("the home");
        assert_eq!(
            children.len() as u64,
            1 + count.div_ceil(CREATE_EACH),
            "{}",
            self.home
        );
        let from = self.checked.next_multiple_of(CREATE_EACH);
        let numbers: Vec<u64> = (from..count).step_by(CREATE_EACH as usize).collect();
        let ask = |number: &u64| {
            let request = PathWatch {
                path: self.node(*number).into(),
                watch: false,
            };
            client.send(OpCode::Exists, |out| request.encode(out))
        };
        let xids: Vec<Xid> = numbers.iter().map(ask).collect();
        let mut last_czxid = 0;
        for (number, xid) in numbers.into_iter().zip(xids) {
            let reply = client.receive_reply(xid).expect("an answer");
            let stat = reply.record::<Stat>().expect("a record");
            let stat = stat.unwrap_or_else(|error| panic!("{} of {count}: {error:?}", self.node(number)));
            assert!(stat.czxid.0 > last_czxid, "{} is out of order", self.node(number));
            last_czxid = stat.czxid.0;
        }
    }

    fn counter(&self) -> String {
        format!("{}/counter", self.home)
    }

    fn node(&self, number: u64) -> String {
        format!("{}/n{number}", self.home)
    }
}

fn connect(address: SocketAddr) -> Result<Client, ClientError> {
    Client::connect(address, &Handshake::default(), LIMIT)
}

/// Writes under way on a connection.
const WINDOW: u64 = 64;

/// Each of so many writes makes a node.
const CREATE_EACH: u64 = 10;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(30);
