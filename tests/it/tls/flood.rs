//! Handshakes that do not end keep nobody waiting, and cost little.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{LIMIT, Secured};
use crate::support::{LONG, wait_until};

/// The beginning of a handshake: a record of 512 bytes that are not there.
const HALF_A_RECORD: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

#[test]
fn a_flood_of_slow_handshakes_does_not_stop_others_and_ends_in_time() {
    let secured = Secured::start(&["maxClientCnxns=0", "ssl.handshakeDetectionTimeoutMillis=3000"]);
    let somebody = secured.caller("somebody");
    let mut client = secured.connect(&somebody).expect("a session");
    let before_kib = secured.server.resident_kib();
    let open = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(secured.secure_address()).expect("connected");
        stream.write_all(bytes).expect("sent");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        stream
    };
    let mut slow: Vec<TcpStream> = (0..500).map(|_| open(HALF_A_RECORD)).collect();
    slow.extend((0..500).map(|_| open(b"")));
    for _ in 0..20 {
        assert!(client.exists("/", false).expect("an answer").is_ok());
        assert!(secured.connect(&somebody).is_ok(), "others are let in");
    }
    let taken_kib = secured.server.resident_kib().saturating_sub(before_kib);
    assert!(taken_kib < 100 * 1_024, "{taken_kib} KiB for 1000 that wait");
    for mut stream in slow {
        let mut rest = Vec::new();
        // An alert may come first; what matters is the end.
        drop(stream.read_to_end(&mut rest));
    }
    wait_until("the line", LONG, || {
        secured.server.log().contains("no TLS handshake within 3000 ms")
    });
    assert!(client.exists("/", false).expect("an answer").is_ok());
}
