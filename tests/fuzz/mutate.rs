//! Mutations that know a little of what is mutated: most of these formats are lengths before bytes, and big-endian
//! numbers. Everything follows from a seed.

/// Makes inputs from a corpus.
pub struct Mutator {
    corpus: Vec<Vec<u8>>,
    longest: usize,
    state: u64,
    input: Vec<u8>,
}

impl Mutator {
    /// The inputs that follow from a seed; none is longer than `longest` bytes.
    pub fn new(corpus: Vec<Vec<u8>>, longest: usize, seed: u64) -> Mutator {
        let state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Mutator {
            corpus,
            longest,
            state,
            input: Vec::new(),
        }
    }

    /// The next one.
    pub fn next_input(&mut self) -> &[u8] {
        let chosen = self.below(self.corpus.len());
        self.input.clone_from(&self.corpus[chosen]);
        for _ in 0..1 + self.below(4) {
            self.mutate();
        }
        self.input.truncate(self.longest);
        &self.input
    }

    fn mutate(&mut self) {
        let length = self.input.len();
        let at = self.below(length + 1);
        match self.below(10) {
            0 => self.input.truncate(at),
            1 if length > 0 => self.input[at % length] ^= 1 << self.below(8),
            2 if length > 0 => self.input[at % length] = self.number() as u8,
            3 => self.write_int(at),
            4 => self.grow_int(at),
            5 => self.splice(at),
            6 => self.repeat(at),
            7 => {
                let end = at + self.below((length - at).min(64) + 1);
                self.input.drain(at..end);
            }
            8 => {
                let extra: Vec<u8> = (0..self.below(9)).map(|_| self.number() as u8).collect();
                self.input.splice(at..at, extra);
            }
            _ => {
                let word = WORDS[self.below(WORDS.len())];
                self.input.splice(at..at, word.iter().copied());
            }
        }
    }

    /// Puts a number of importance in the place of four bytes or eight.
    fn write_int(&mut self, at: usize) {
        let number = NUMBERS[self.below(NUMBERS.len())];
        let bytes = number.to_be_bytes();
        let bytes = if self.below(2) == 0 {
            &bytes[..]
        } else {
            &bytes[4..]
        };
        for (place, byte) in self.input.iter_mut().skip(at).zip(bytes) {
            *place = *byte;
        }
    }

    /// Makes four bytes that look like a length a little larger or smaller.
    fn grow_int(&mut self, at: usize) {
        let looks_like_one = |window: &[u8]| window[..2] == [0, 0];
        let Some(found) = self
            .input
            .get(at..)
            .and_then(|rest| rest.windows(4).position(looks_like_one))
        else {
            return;
        };
        let place = &mut self.input[at + found..at + found + 4];
        let number = i32::from_be_bytes([place[0], place[1], place[2], place[3]]);
        place.copy_from_slice(&number.wrapping_add(self.state as i32 % 5).to_be_bytes());
    }

    /// Goes on with a part of another input.
    fn splice(&mut self, at: usize) {
        let other = self.below(self.corpus.len());
        let other = &self.corpus[other];
        let begin = (self.state >> 33) as usize % (other.len() + 1);
        let end = (begin + (self.state >> 40) as usize % 256).min(other.len());
        let keeps = (self.state >> 20) & 1 == 0;
        let tail = if keeps {
            self.input.split_off(at)
        } else {
            Vec::new()
        };
        self.input.truncate(at);
        self.input.extend_from_slice(&other[begin..end]);
        self.input.extend(tail);
    }

    fn repeat(&mut self, at: usize) {
        let count = self.below((self.input.len() - at).min(128) + 1);
        let part = self.input[at..at + count].to_vec();
        self.input.splice(at..at, part);
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound.max(1) as u64) as usize
    }

    /// xorshift64*
    fn number(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}

const NUMBERS: &[u64] = &[
    0,
    1,
    u64::MAX,
    u64::MAX - 1,
    0x7fff_ffff,
    0x8000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0x1_0000_0000,
    0xffff_ffff,
    0x10_0000,
    0x40_0000,
    -100_i64 as u64,
];

/// What formats and syntaxes know.
const WORDS: &[&[u8]] = &[
    b"/",
    b"\0\0\0\x01/",
    b"/zookeeper/quota",
    b"zookeeper_limits",
    b"count=1,bytes=2",
    b"world",
    b"anyone",
    b"auth",
    b"digest",
    b"ip",
    b"sasl",
    b"super",
    b"10.0.0.0/8",
    b"ZKLG",
    b"ZKSN",
    b"BenWasHere",
    b"B",
    b"\\u00e4",
    b"\\\n",
    b"server.1=a:1:2",
    b"group.1=1:2",
    b"weight.1=0",
    b":observer",
    b"tickTime",
    b"=",
    b"#",
    b"\n",
    b"-D",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\0\0\0\x0e",
    b"ruok",
    b"stmk",
    b"-9223372036854775808",
];
