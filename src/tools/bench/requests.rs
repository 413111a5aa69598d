//! What the load generator asks: requests encoded once, of which only number and key change.

use crate::proto::requests::{CreateRequest, PathWatch, RequestHeader, SetDataRequest};
use crate::proto::{Acl, Encode, OpCode, Xid};

/// Which operation a connection repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Reads a key.
    Get,
    /// Replaces a key's data.
    Set,
    /// Makes a new node.
    Create,
    /// Asks for a key's stat.
    Exists,
    /// Gets and sets in a given proportion.
    Mixed,
    /// Makes the keys themselves, each once.
    Fill,
}

impl Operation {
    /// The operation of that name.
    pub fn named(name: &str) -> Option<Operation> {
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|&(_, operation)| operation)
    }

    /// The name of the operation.
    pub fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(_, known)| *known == self)
            .map_or("fill", |&(name, _)| name)
    }
}

/// The keys and the data that all connections share.
#[derive(Debug, Clone)]
pub struct Material {
    /// The operation.
    pub operation: Operation,
    /// The node below which everything happens.
    pub root: String,
    /// How many keys there are.
    pub keys: u64,
    /// Bytes of data of each.
    pub size_bytes: usize,
    /// How many of a hundred operations of a mix are reads.
    pub read_percent: u32,
}

impl Material {
    /// The path of a key.
    pub fn key(&self, number: u64) -> String {
        format!("{}/k{number:0DIGITS$}", self.root)
    }

    /// The node below which new nodes are made.
    pub fn create_root(&self) -> String {
        format!("{}/new", self.root)
    }

    /// The data of every node.
    pub fn data(&self) -> Vec<u8> {
        vec![b'x'; self.size_bytes]
    }
}

/// The requests of one connection, without an end.
#[derive(Debug)]
pub struct Requests {
    operation: Operation,
    read: Template,
    write: Template,
    keys: u64,
    read_percent: u64,
    next_xid: i32,
    next_number: u64,
    stride: u64,
    random: Random,
}

impl Requests {
    /// The requests of connection `index` of `connections`, whose new nodes carry `mark` in their names.
    pub fn new(material: &Material, index: u64, connections: u64, mark: &str) -> Requests {
        let operation = material.operation;
        let key = material.key(0);
        let read_op = if operation == Operation::Exists {
            OpCode::Exists
        } else {
            OpCode::GetData
        };
        let write = match operation {
            Operation::Create => {
                let path = format!("{}/{mark}-{:0DIGITS$}", material.create_root(), 0);
                Template::create(&path, &material.data())
            }
            Operation::Fill => Template::create(&key, &material.data()),
            _ => Template::set(&key, &material.data()),
        };
        Requests {
            operation,
            read: Template::read(read_op, &key),
            write,
            keys: material.keys.max(1),
            read_percent: u64::from(material.read_percent),
            next_xid: 1,
            next_number: index,
            stride: connections.max(1),
            random: Random(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        }
    }

    /// Appends the next request to `out`; tells its number and whether it is a read. `None`: all keys are made.
    pub fn write_next(&mut self, out: &mut Vec<u8>) -> Option<(Xid, bool)> {
        let is_read = match self.operation {
            Operation::Get | Operation::Exists => true,
            Operation::Set | Operation::Create | Operation::Fill => false,
            Operation::Mixed => self.random.below(100) < self.read_percent,
        };
        let number = self.next_key()?;
        let xid = Xid(self.next_xid);
        self.next_xid = self.next_xid.wrapping_add(1).max(1);
        let template = if is_read { &self.read } else { &self.write };
        template.write(xid, number, out);
        Some((xid, is_read))
    }

    fn next_key(&mut self) -> Option<u64> {
        let number = self.next_number;
        match self.operation {
            Operation::Fill if number >= self.keys => return None,
            Operation::Fill | Operation::Create => self.next_number += self.stride,
            _ => return Some(self.random.below(self.keys)),
        }
        Some(number)
    }
}

/// A request's frame, and where its key's digits stand.
#[derive(Debug)]
struct Template {
    frame: Vec<u8>,
    digits_end: usize,
}

impl Template {
    fn new(op: OpCode, path: &str, body: &impl Encode) -> Template {
        let mut frame = vec![0; 4];
        RequestHeader {
            xid: Xid(0),
            op: op.number(),
        }
        .encode(&mut frame);
        // The path is every body's first field, behind its length.
        let digits_end = frame.len() + 4 + path.len();
        body.encode(&mut frame);
        // The size is an option with a limit far below 2 GiB.
        let length = (frame.len() - 4) as i32;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        Template { frame, digits_end }
    }

    fn read(op: OpCode, path: &str) -> Template {
        Template::new(
            op,
            path,
            &PathWatch {
                path: path.into(),
                watch: false,
            },
        )
    }

    fn set(path: &str, data: &[u8]) -> Template {
        let request = SetDataRequest {
            path: path.into(),
            data: Some(data),
            version: -1,
        };
        Template::new(OpCode::SetData, path, &request)
    }

    fn create(path: &str, data: &[u8]) -> Template {
        let (path_text, acl) = (path.into(), Acl::open());
        let request = CreateRequest {
            path: path_text,
            data: Some(data),
            acl,
            flags: 0,
        };
        Template::new(OpCode::Create, path, &request)
    }

    fn write(&self, xid: Xid, mut number: u64, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&self.frame);
        let frame = &mut out[begin..];
        frame[4..8].copy_from_slice(&xid.0.to_be_bytes());
        for digit in frame[self.digits_end - DIGITS..self.digits_end].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    }
}

/// A small generator (xorshift), the same for the same connection, so that two servers get the same load.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

/// How many digits number a key: enough for all the keys that memory holds.
const DIGITS: usize = 10;

const NAMES: [(&str, Operation); 5] = [
    ("get", Operation::Get),
    ("set", Operation::Set),
    ("create", Operation::Create),
    ("exists", Operation::Exists),
    ("mixed", Operation::Mixed),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Decode, Reader};

    fn material(operation: Operation) -> Material {
        Material {
            operation,
            root: "/bench".into(),
            keys: 50,
            size_bytes: 3,
            read_percent: 90,
        }
    }

    fn frames(bytes: &[u8]) -> Vec<&[u8]> {
        let (mut reader, mut frames) = (Reader::new(bytes), vec![]);
        while reader.remaining() > 0 {
            frames.push(<&[u8]>::decode(&mut reader).expect("a whole frame"));
        }
        frames
    }

    #[test]
    fn a_set_is_the_record_it_should_be() {
        let mut out = Vec::new();
        let mut requests = Requests::new(&material(Operation::Set), 0, 1, "m");
        for expected in 1..=3 {
            assert_eq!(requests.write_next(&mut out), Some((Xid(expected), false)));
        }
        for (frame, xid) in frames(&out).into_iter().zip(1..) {
            let mut reader = Reader::new(frame);
            let header = RequestHeader::decode(&mut reader).expect("a header");
            assert_eq!(
                header,
                RequestHeader {
                    xid: Xid(xid),
                    op: OpCode::SetData.number()
                }
            );
            let set = SetDataRequest::decode(&mut reader).expect("a record");
            assert_eq!(
                (set.data, set.version, reader.remaining()),
                (Some(b"xxx".as_slice()), -1, 0)
            );
            let number = set
                .path
                .strip_prefix("/bench/k")
                .expect("the root")
                .parse::<u64>();
            assert!(number.is_ok_and(|number| number < 50), "{}", set.path);
        }
    }

    #[test]
    fn filling_makes_every_key_once() {
        let material = material(Operation::Fill);
        let mut paths = Vec::new();
        for index in 0..4 {
            let (mut requests, mut out) = (Requests::new(&material, index, 4, "m"), Vec::new());
            while requests.write_next(&mut out).is_some() {}
            for frame in frames(&out) {
                let create = CreateRequest::from_bytes(&frame[8..]).expect("a record");
                assert_eq!((create.flags, create.acl), (0, Acl::open()));
                paths.push(create.path.into_owned());
            }
        }
        paths.sort();
        let expected: Vec<String> = (0..50).map(|number| material.key(number)).collect();
        assert_eq!(paths, expected);
    }

    #[test]
    fn a_mix_has_its_proportion_and_new_nodes_are_new() {
        let (mut requests, mut out) = (Requests::new(&material(Operation::Mixed), 5, 8, "m"), Vec::new());
        let mut reads = 0;
        for _ in 0..10_000 {
            reads += u32::from(requests.write_next(&mut out).is_some_and(|(_, is_read)| is_read));
        }
        assert!((8_800..9_200).contains(&reads), "{reads} reads of 10000");

        let (mut requests, mut out) = (Requests::new(&material(Operation::Create), 5, 8, "m"), Vec::new());
        requests.write_next(&mut out);
        requests.write_next(&mut out);
        let paths: Vec<_> = frames(&out)
            .into_iter()
            .map(|frame| {
                CreateRequest::from_bytes(&frame[8..])
                    .expect("a record")
                    .path
                    .into_owned()
            })
            .collect();
        assert_eq!(paths, ["/bench/new/m-0000000005", "/bench/new/m-0000000013"]);
    }

    #[test]
    fn operations_have_names_both_ways() {
        for (name, operation) in NAMES {
            assert_eq!(
                (Operation::named(name), operation.name()),
                (Some(operation), name)
            );
        }
        assert_eq!(Operation::named("fill"), None);
    }
}
