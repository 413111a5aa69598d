//! Guests who do not behave.

use std::io::{Read, Write};
use std::net::TcpStream;

use oxkeeper::proto::Acl;

use super::{LIMIT, create, exchange, get, local, watched};
use crate::support::{LONG, wait_until};

#[test]
fn hostile_requests_are_refused_and_leave_the_server_as_it_was() {
    let (server, admin, metrics) = watched(&["admin.treeBrowser=true"]);
    let long_path = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000));
    let long_header = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "b".repeat(100_000));
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(10_000));
    for (bytes, expected) in [
        (b"GET /../../etc/passwd HTTP/1.1\r\n\r\n".as_slice(), 404),
        (b"GET /commands/../../etc/passwd HTTP/1.1\r\n\r\n", 404),
        (b"GET /commands/%2e%2e%2fetc%2fpasswd HTTP/1.1\r\n\r\n", 404),
        (b"GET /view/node?path=/../../etc/passwd HTTP/1.1\r\n\r\n", 404),
        (b"GET /view/node?path=%00%ff%zz HTTP/1.1\r\n\r\n", 404),
        (b"GET //////// HTTP/1.1\r\n\r\n", 404),
        (b"GET /%ff%fe HTTP/1.1\r\n\r\n", 400),
        (b"GET http://evil.example/ HTTP/1.1\r\n\r\n", 404),
        (
            b"POST /commands/ruok HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
            405,
        ),
        (b"TRACE / HTTP/1.1\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\nHost: rebound.example\r\n\r\n", 403),
        (
            b"GET /commands/stat_reset HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\n\r\n",
            403,
        ),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"\r\n\r\n\r\nruok\r\n\r\n", 400),
        (long_path.as_bytes(), 431),
        (long_header.as_bytes(), 431),
        (many_headers.as_bytes(), 431),
    ] {
        for port in [admin, metrics] {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
            match exchange(port, bytes) {
                Some(answer) if port == admin => assert_eq!(answer.status, expected, "{shown}"),
                Some(answer) => assert!(answer.status >= 400, "{shown}: {}", answer.status),
                // The rest of a very long request may reset the connection before the refusal is read.
                None => assert!(bytes.len() > 8_192, "no answer to {shown}"),
            }
        }
    }
    assert_eq!(get(admin, "/health").status, 200);
    assert_eq!(server.word(b"ruok"), "imok");
}

#[test]
fn who_sends_nothing_or_reads_nothing_hinders_neither_clients_nor_others() {
    let (server, admin, _) = watched(&[]);
    let open = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(local(admin)).expect("connected");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        // Whoever comes late may find its place given to another already.
        drop(stream.write_all(bytes));
        stream
    };
    // Many more than there are places: silent ones, those that stop in the middle, those that never read.
    let silent: Vec<TcpStream> = (0..100).map(|_| open(b"")).collect();
    let slow: Vec<TcpStream> = (0..100)
        .map(|_| open(b"GET /commands/mntr HTTP/1.1\r\nX-Slow: "))
        .collect();
    let deaf: Vec<TcpStream> = (0..100).map(|_| open(b"GET / HTTP/1.1\r\n\r\n")).collect();
    assert_eq!(get(admin, "/health").status, 200);
    let mut client = server.client();
    create(&mut client, "/while-they-wait", &Acl::open(), 0);
    // Those that stay silent are shut out in the end, without an answer.
    let last = slow.into_iter().last().expect("a connection");
    let mut last = last;
    let mut rest = Vec::new();
    wait_until("the end of a slow connection", LONG, || {
        last.read_to_end(&mut rest).is_ok() || last.write_all(b"a").is_err()
    });
    assert!(rest.is_empty());
    drop((silent, deaf));
    assert_eq!(get(admin, "/ready").status, 200);
}

#[test]
fn a_flood_of_requests_does_not_stop_the_clients() {
    let (server, admin, _) = watched(&[]);
    let flood: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                let answers =
                    (0..100).filter_map(|_| exchange(admin, b"GET /view/overview HTTP/1.1\r\n\r\n"));
                answers.filter(|answer| answer.status == 200).count()
            })
        })
        .collect();
    let mut client = server.client();
    for number in 0..50 {
        create(&mut client, &format!("/n{number}"), &Acl::open(), 0);
    }
    let answered: usize = flood
        .into_iter()
        .map(|thread| thread.join().expect("a guest"))
        .sum();
    assert!(answered > 0);
    assert_eq!(get(admin, "/health").status, 200);
}
