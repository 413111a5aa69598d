//! Plays a script to one server, and writes down all that the server says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use oxkeeper::proto::requests::{ConnectRequest, SetWatches};
use oxkeeper::proto::{Decode, Encode, OpCode, Reader, SessionId, Xid, Zxid};
use oxkeeper::tools::wire::{ClientError, Wire};

use super::describe::{self, Names};
use super::script::{Renewal, Request, SLOTS, Step, Watches, frame};

/// Changes a frame of the server's before it is read, to see whether anybody notices: number and bytes.
pub type Tamper = Box<dyn FnMut(usize, &mut Vec<u8>)>;

/// A server's side of the comparison.
pub struct Driver {
    address: SocketAddr,
    slots: [Slot; SLOTS],
    names: Names,
    frames: usize,
    tamper: Option<Tamper>,
}

#[derive(Default)]
struct Slot {
    wire: Option<Wire>,
    session: SessionId,
    password: Vec<u8>,
    last_zxid: i64,
    opened: usize,
}

impl Driver {
    /// Nobody is connected yet.
    pub fn new(address: SocketAddr) -> Driver {
        Driver {
            address,
            slots: Default::default(),
            names: BTreeMap::new(),
            frames: 0,
            tamper: None,
        }
    }

    /// The same, but what the server says is falsified.
    pub fn tampered(address: SocketAddr, tamper: Tamper) -> Driver {
        Driver {
            tamper: Some(tamper),
            ..Driver::new(address)
        }
    }

    /// How many frames have come.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Plays one step; a line for everything that came, from whomever.
    pub fn play(&mut self, step: &Step) -> Vec<String> {
        let mut lines = Vec::new();
        let outcome = match step {
            Step::Open {
                slot,
                timeout_ms,
                is_old,
            } => self.open(*slot, *timeout_ms, *is_old, &mut lines),
            Step::Send { slot, requests } => self.send(*slot, requests, &mut lines),
            Step::Offend { slot, bytes } => self.offend(*slot, bytes, &mut lines),
            Step::Close { slot, requests } => self.close(*slot, requests, &mut lines),
            Step::Move { slot } => self.take_over(*slot, &mut lines),
            Step::Drop { slot } => {
                self.slots[*slot].wire = None;
                Ok(())
            }
            Step::Renew { slot, how, watches } => self.renew(*slot, *how, watches.as_ref(), &mut lines),
        };
        if let Err(error) = outcome {
            lines.push(format!("the conversation broke: {error}"));
        }
        self.hear_the_others(&mut lines);
        if matches!(step, Step::Close { .. }) {
            sort_events(&mut lines);
        }
        lines
    }

    fn open(&mut self, slot: usize, timeout_ms: i32, is_old: bool, lines: &mut Vec<String>) -> Outcome {
        self.slots[slot].last_zxid = 0;
        self.slots[slot].session = SessionId(0);
        self.slots[slot].password = vec![0; 16];
        self.slots[slot].opened += 1;
        self.connect(slot, timeout_ms, is_old, lines)
    }

    /// Says hello with what the slot knows, and takes what the server grants.
    fn connect(&mut self, slot: usize, timeout_ms: i32, is_old: bool, lines: &mut Vec<String>) -> Outcome {
        let state = &mut self.slots[slot];
        let mut wire = Wire::open(self.address, LIMIT)?;
        let hello = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(state.last_zxid),
            timeout_ms,
            session: state.session,
            password: Some(&state.password),
        };
        wire.queue_frame(|out| {
            hello.encode(out);
            if !is_old {
                false.encode(out);
            }
        });
        state.wire = Some(wire);
        let Some(frame) = self.frame(slot)? else {
            lines.push(format!("{slot}: hangs up"));
            return Ok(());
        };
        let (line, session, password) = describe::granted(&frame);
        lines.push(format!("{slot}: {line}"));
        let state = &mut self.slots[slot];
        if session == SessionId(0) {
            return self.end_of_stream(slot, lines);
        }
        if session != state.session {
            self.names
                .insert(session.0, format!("session {} of slot {slot}", state.opened));
            state.session = session;
            state.password = password;
        }
        Ok(())
    }

    fn send(&mut self, slot: usize, requests: &[Request], lines: &mut Vec<String>) -> Outcome {
        let wire = self.slots[slot].wire.as_mut().ok_or(ClientError::Closed)?;
        let bytes: Vec<u8> = requests.iter().flat_map(frame).collect();
        wire.send_bytes(&bytes)?;
        for request in requests {
            self.until_answer(slot, request.op, lines)?;
        }
        Ok(())
    }

    fn offend(&mut self, slot: usize, bytes: &[u8], lines: &mut Vec<String>) -> Outcome {
        let wire = self.slots[slot].wire.as_mut().ok_or(ClientError::Closed)?;
        wire.send_bytes(bytes)?;
        self.end_of_stream(slot, lines)
    }

    fn close(&mut self, slot: usize, requests: &[Request], lines: &mut Vec<String>) -> Outcome {
        self.send(slot, requests, lines)?;
        self.end_of_stream(slot, lines)
    }

    fn renew(
        &mut self,
        slot: usize,
        how: Renewal,
        watches: Option<&Watches>,
        lines: &mut Vec<String>,
    ) -> Outcome {
        let (password, last_zxid) = (self.slots[slot].password.clone(), self.slots[slot].last_zxid);
        match how {
            Renewal::Good => {}
            Renewal::WrongPassword => self.slots[slot].password = vec![7; 16],
            Renewal::FromTheFuture => self.slots[slot].last_zxid = i64::MAX,
        }
        let outcome = self.connect(slot, 30_000, false, lines);
        self.slots[slot].password = password;
        self.slots[slot].last_zxid = last_zxid;
        outcome?;
        let Some(watches) = watches else {
            return Ok(());
        };
        let [data, exist, child] = &watches.lists;
        let list = |paths: &[String]| paths.iter().map(|path| path.clone().into()).collect();
        let since = if watches.since_drop { last_zxid } else { 0 };
        let record = SetWatches {
            relative_zxid: Zxid(since),
            data: list(data),
            exist: list(exist),
            child: list(child),
        };
        let op = OpCode::SetWatches.number();
        self.send(
            slot,
            &[Request {
                xid: Xid::SET_WATCHES,
                op,
                body: record.to_bytes(),
            }],
            lines,
        )
    }

    /// Connects once more with the session of a connection that stands, which the server must end.
    fn take_over(&mut self, slot: usize, lines: &mut Vec<String>) -> Outcome {
        let mut old = self.slots[slot].wire.take().ok_or(ClientError::Closed)?;
        self.connect(slot, 30_000, false, lines)?;
        let rest = old.receive_rest()?;
        lines.push(format!("{slot}: the old connection ends after {rest:02x?}"));
        Ok(())
    }

    /// Events on the way to the others come before the answer to a ping, which also keeps their sessions.
    fn hear_the_others(&mut self, lines: &mut Vec<String>) {
        for slot in 0..SLOTS {
            if self.slots[slot].wire.is_none() {
                continue;
            }
            let ping = Request {
                xid: Xid::PING,
                op: OpCode::Ping.number(),
                body: vec![],
            };
            if let Err(error) = self.send(slot, &[ping], lines) {
                lines.push(format!("{slot}: the conversation broke: {error}"));
            }
        }
    }

    /// Takes frames up to the next answer.
    fn until_answer(&mut self, slot: usize, op: i32, lines: &mut Vec<String>) -> Outcome {
        loop {
            let Some(frame) = self.frame(slot)? else {
                lines.push(format!("{slot}: hangs up"));
                return Ok(());
            };
            let is_event = self.note(slot, op, &frame, lines);
            if !is_event {
                return Ok(());
            }
        }
    }

    /// Takes frames until the server has hung up.
    fn end_of_stream(&mut self, slot: usize, lines: &mut Vec<String>) -> Outcome {
        while let Some(frame) = self.frame(slot)? {
            self.note(slot, 0, &frame, lines);
        }
        lines.push(format!("{slot}: hangs up"));
        Ok(())
    }

    fn note(&mut self, slot: usize, op: i32, frame: &[u8], lines: &mut Vec<String>) -> bool {
        let mut reader = Reader::new(frame);
        let xid = i32::decode(&mut reader).unwrap_or(0);
        let zxid = i64::decode(&mut reader).unwrap_or(0);
        // As a client does it: what it saw last.
        if zxid > 0 {
            self.slots[slot].last_zxid = zxid;
        }
        lines.push(format!("{slot}: {}", describe::frame(op, frame, &self.names)));
        xid == Xid::NOTIFICATION.0
    }

    /// The next frame, or nothing if the server has hung up.
    fn frame(&mut self, slot: usize) -> Result<Option<Vec<u8>>, ClientError> {
        let wire = self.slots[slot].wire.as_mut().ok_or(ClientError::Closed)?;
        let mut frame = match wire.receive_frame() {
            Ok(frame) => frame,
            Err(error) if error.is_closed() => {
                self.slots[slot].wire = None;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        self.frames += 1;
        if let Some(tamper) = &mut self.tamper {
            tamper(self.frames, &mut frame);
        }
        Ok(Some(frame))
    }
}

/// A session's end removes its ephemerals in no order that anybody promises: events in a row are sorted.
fn sort_events(lines: &mut [String]) {
    for row in lines.chunk_by_mut(|one, next| is_event(one) && is_event(next)) {
        row.sort();
    }
}

fn is_event(line: &str) -> bool {
    line.contains(" event ")
}

type Outcome = Result<(), ClientError>;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(20);
