//! Whatever pieces the bytes come in, and whatever they are.

use super::*;

/// All that a conversation has led to, whatever the pieces in which it came.
fn outcome_of(pieces: &[&[u8]]) -> String {
    let mut bench = Bench::new();
    for piece in pieces {
        bench.feed(piece);
        if bench.wishes.chain.len() == 1 && bench.cnxn.unsent().is_empty() {
            bench.grant();
            bench.feed(&[]);
        }
    }
    let cnxn = &bench.cnxn;
    let identities = cnxn.identities();
    let bodies: Vec<&[u8]> = bench
        .wishes
        .chain
        .iter()
        .map(|request| &request.body[..])
        .collect();
    let ends = (
        cnxn.fate(),
        cnxn.describe(false, 0),
        &bench.wishes.ask_bytes,
        identities,
        bodies,
    );
    format!(
        "{:?} {:?} {ends:?} {:?}",
        bench.asked(),
        bench.inside(),
        cnxn.unsent()
    )
}

#[test]
fn a_conversation_is_the_same_in_whatever_pieces_it_comes() {
    let conversation = [
        hello(0, Zxid(1)),
        read(1),
        auth(Some("digest"), Some(b"u:p")),
        request(2, 11, b""),
        request(3, OpCode::Sasl.number(), &0.to_bytes()),
        request(4, OpCode::Create.number(), b"a body"),
        read(5),
        request(6, 77, b""),
        read(7),
    ]
    .concat();
    let whole = outcome_of(&[&conversation]);
    assert!(
        whole.contains("Unimplemented") && whole.contains("SaslToken"),
        "{whole}"
    );
    for cut in 0..conversation.len() {
        let (first, second) = conversation.split_at(cut);
        assert_eq!(outcome_of(&[first, second]), whole, "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = conversation.chunks(1).collect();
    assert_eq!(outcome_of(&bytes), whole);
    let threes: Vec<&[u8]> = conversation.chunks(3).collect();
    assert_eq!(outcome_of(&threes), whole);
}

/// A small generator of bytes: the seed is the test's only input.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, bound: usize) -> usize {
        self.next() as usize % bound
    }
}

#[test]
fn hostile_bytes_neither_panic_nor_grow() {
    for seed in 0..2_000 {
        let mut dice = Dice(seed);
        let mut bench = if seed % 2 == 0 {
            Bench::new()
        } else {
            Bench::open()
        };
        let mut bytes = [
            hello(0, Zxid(1)),
            read(1),
            auth(Some("digest"), Some(b"u:p")),
            read(2),
        ]
        .concat();
        for _ in 0..dice.below(8) {
            let place = dice.below(bytes.len());
            bytes[place] = dice.next() as u8;
        }
        if seed % 5 == 0 {
            bytes = (0..dice.below(300)).map(|_| dice.next() as u8).collect();
        }
        for piece in bytes.chunks(1 + dice.below(40)) {
            bench.feed(piece);
            if dice.below(4) == 0 {
                bench.grant();
            }
            assert!(bench.cnxn.input.len() <= bench.rules.max_frame_bytes + 44 + bytes.len());
        }
        bench.with(|cnxn, round| cnxn.on_end_of_stream(round));
        assert_ne!(bench.cnxn.fate(), Fate::Stay, "seed {seed}");
    }
}

#[test]
fn an_idle_connection_is_small() {
    let mut bench = Bench::open();
    bench.feed(&[read(1), request(2, 1, &[0; 900])].concat());
    bench.reply(Outcome::Answer, Xid(2), OpCode::Create, &[0; 5_000]);
    bench.drain();
    bench.cnxn.cool();
    let buffers = bench.cnxn.input.capacity() + bench.cnxn.outbox.capacity();
    assert!(
        buffers + size_of::<Cnxn>() < 1_024,
        "{buffers} bytes of buffers, {} else",
        size_of::<Cnxn>()
    );
}
