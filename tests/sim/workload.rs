//! What a client asks for.

use super::checkers::{Answer, Call};
use super::rng::Rng;
use super::talk::{Side, acl};

/// The questions of one client.
pub struct Workload {
    client: usize,
    rng: Rng,
    values: u64,
    ops: u64,
    /// Sequential nodes and ephemerals that it has made.
    own: Vec<String>,
    made_registers: u64,
}

impl Workload {
    pub fn new(client: usize, rng: Rng) -> Workload {
        Workload {
            client,
            rng,
            values: 0,
            ops: 0,
            own: Vec::new(),
            made_registers: 0,
        }
    }

    /// A number that no other request has.
    pub fn next_op(&mut self) -> u64 {
        self.ops += 1;
        self.client as u64 * 1_000_000 + self.ops
    }

    /// The next question.
    pub fn call(&mut self) -> Call {
        if self.made_registers < REGISTERS {
            self.made_registers += 1;
            return self.make_register();
        }
        match self.rng.below(20) {
            0..=6 => self.read(),
            7..=11 => self.set(),
            12..=14 => self.create(),
            15..=16 => self.delete(),
            _ => self.multi(),
        }
    }

    /// A write, and a read that must see it.
    pub fn probe(&mut self) -> (Call, Call) {
        let path = self.register();
        let set = Call::Create {
            path: format!("/probe-{}-", self.client),
            value: self.value(),
            ephemeral: false,
            sequential: true,
        };
        let get = Call::Get {
            path,
            watch: false,
            synced: true,
        };
        (set, get)
    }

    /// A question that the history does not know. What it changes lies in a corner of its own.
    pub fn side(&mut self) -> Side {
        let path = self.register();
        match self.rng.below(10) {
            0 => Side::Exists(path),
            1 => Side::GetAcl(path),
            2 => Side::SetAcl(self.corner(), acl(self.rng.below(12))),
            3 => Side::Auth(format!("user{}:secret", self.rng.below(3))),
            4 => Side::Children(CORNER.to_owned(), true),
            5 => Side::Children("/".to_owned(), false),
            6 => Side::Any(self.wild_write()),
            7 => Side::Container(self.corner()),
            8 => Side::Brief(self.corner(), self.rng.between(1, 4_000) as i64),
            _ => {
                let parts = (0..self.rng.between(1, 5)).map(|_| self.wild_write()).collect();
                Side::Any(Call::Multi(parts))
            }
        }
    }

    pub fn learn(&mut self, answer: &Answer) {
        if let Answer::Created(path) = answer
            && !path.starts_with("/r")
            && path != CORNER
        {
            self.own.push(path.clone());
            if self.own.len() > 20 {
                self.own.remove(0);
            }
        }
    }

    /// The session is over.
    pub fn forget_own(&mut self) {
        self.own.clear();
    }

    /// A question that changes nothing.
    pub fn read(&mut self) -> Call {
        let path = self.any();
        let kind = self.rng.below(4);
        Call::Get {
            path,
            watch: kind == 0,
            synced: kind == 1,
        }
    }

    fn set(&mut self) -> Call {
        let version = self.rng.one_in(5).then(|| self.rng.below(6) as i32);
        Call::Set {
            path: self.any(),
            value: self.value(),
            version,
        }
    }

    /// A node whose name nobody uses again.
    fn create(&mut self) -> Call {
        let kind = self.rng.below(4);
        let path = match kind {
            0 => format!("/n{}-{}", self.client, self.values),
            1 => format!("/e{}-{}", self.client, self.values),
            2 => "/q-".to_owned(),
            _ => "/qe-".to_owned(),
        };
        Call::Create {
            path,
            value: self.value(),
            ephemeral: kind % 2 == 1,
            sequential: kind >= 2,
        }
    }

    fn make_register(&mut self) -> Call {
        let number = self.made_registers - 1;
        Call::Create {
            path: if number == 0 {
                CORNER.to_owned()
            } else {
                format!("/r{}", number - 1)
            },
            value: self.value(),
            ephemeral: false,
            sequential: false,
        }
    }

    fn delete(&mut self) -> Call {
        if self.own.is_empty() {
            return self.set();
        }
        let index = self.rng.below(self.own.len() as u64) as usize;
        Call::Delete {
            path: self.own.remove(index),
        }
    }

    /// Writes to some registers, each once.
    fn multi(&mut self) -> Call {
        let first = self.rng.below(REGISTERS - 1);
        let count = self.rng.between(1, 4);
        let parts = (0..count).map(|index| {
            let path = format!("/r{}", (first + index) % (REGISTERS - 1));
            match self.rng.below(6) {
                0 => Call::Check {
                    path,
                    version: self.rng.below(9) as i32 - 1,
                },
                _ => Call::Set {
                    path,
                    value: self.value(),
                    version: None,
                },
            }
        });
        Call::Multi(parts.collect())
    }

    /// Anything, to nodes that come and go.
    fn wild_write(&mut self) -> Call {
        let path = self.corner();
        let value = self.value();
        match self.rng.below(9) {
            0..=3 => Call::Create {
                path,
                value,
                ephemeral: self.rng.one_in(3),
                sequential: self.rng.one_in(4),
            },
            4..=5 => Call::Delete { path },
            6 => Call::Check {
                path,
                version: self.rng.below(3) as i32 - 1,
            },
            _ => Call::Set {
                path,
                value,
                version: None,
            },
        }
    }

    fn corner(&mut self) -> String {
        let path = format!("{CORNER}/{}", self.rng.below(5));
        if self.rng.one_in(2) {
            return path;
        }
        format!("{path}/{}", self.rng.below(3))
    }

    fn register(&mut self) -> String {
        format!("/r{}", self.rng.below(REGISTERS - 1))
    }

    fn any(&mut self) -> String {
        if !self.own.is_empty() && self.rng.one_in(3) {
            return self.rng.pick(&self.own).clone();
        }
        self.register()
    }

    fn value(&mut self) -> String {
        self.values += 1;
        format!("c{}v{}", self.client, self.values)
    }
}

/// So many nodes are made first: the corner, and the registers, which stay.
const REGISTERS: u64 = 6;
/// Where the history does not look.
const CORNER: &str = "/corner";
