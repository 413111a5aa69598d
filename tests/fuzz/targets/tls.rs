//! What comes before anybody has shown who he is: the first bytes of a connection, and certificates.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use oxkeeper::tls::subject::subject_of;
use oxkeeper::tls::{
    ClientAuth, Greeting, Secret, ServerStream, Store, TlsContext, TlsOptions, begins_handshake,
};
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::CertificateDer;

use super::{frugal, sparing};

/// A byte that says whether plain text is heard as well and in what pieces the rest comes, and that rest.
pub fn tls_stream(bytes: &[u8]) {
    let Some((how, said)) = bytes.split_first() else {
        return;
    };
    let takes_plain = how & 1 == 1;
    let socket = Pieces {
        rest: said,
        most: usize::from(how >> 1).max(1),
    };
    let context = context();
    let (heard, greeting, end) = sparing(bytes.len(), SESSION_BYTES, || {
        let mut stream = ServerStream::new(socket, context, takes_plain);
        let mut heard = Vec::new();
        let mut buffer = [0; 512];
        let end = loop {
            match stream.read(&mut buffer) {
                Ok(0) => break None,
                Ok(count) => heard.extend_from_slice(&buffer[..count]),
                Err(error) => break Some(error.kind()),
            }
        };
        (heard, stream.greeting(IpAddr::V4(Ipv4Addr::LOCALHOST)), end)
    });
    match said.first() {
        None => assert_eq!((greeting, end), (Greeting::Pending, Some(ErrorKind::WouldBlock))),
        Some(first) if begins_handshake(*first) => {
            // No key was ever agreed upon, so nobody may be let in.
            assert!(heard.is_empty() && greeting == Greeting::Pending, "{greeting:?}");
        }
        Some(_) if takes_plain => {
            assert_eq!((&heard[..], end), (said, Some(ErrorKind::WouldBlock)));
            assert_eq!(greeting, Greeting::Done { subject: None });
        }
        Some(_) => assert_eq!((&heard[..], end), (&b""[..], Some(ErrorKind::InvalidData))),
    }
}

/// A certificate: its owner's name can be read, or not.
pub fn certificate(bytes: &[u8]) {
    let certificate = CertificateDer::from(bytes);
    if let Some(name) = frugal(bytes.len(), || subject_of(&certificate)) {
        // Bytes are written as two digits at most, and each attribute has a name.
        assert!(name.len() <= 16 * bytes.len(), "{name}");
    }
}

/// A socket that never waits, and gives so many bytes at once.
struct Pieces<'a> {
    rest: &'a [u8],
    most: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let most = buffer.len().min(self.most);
        self.rest.read(&mut buffer[..most])
    }
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A server's key, and nobody but itself to believe.
fn context() -> Arc<TlsContext> {
    static CONTEXT: OnceLock<Arc<TlsContext>> = OnceLock::new();
    let make = || {
        let key = KeyPair::generate().expect("a key");
        let own = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let pem = key.serialize_pem() + &own.self_signed(&key).expect("a certificate").pem();
        let store = Store {
            path: "own.pem".into(),
            password: Secret::default(),
            password_path: None,
            kind: None,
        };
        let options = TlsOptions {
            prefix: "ssl.",
            key_store: Some(store.clone()),
            trust_store: Some(store),
            client_auth: ClientAuth::Need,
            verify_server_host: true,
            verify_client_host: true,
            tls_1_2: true,
            tls_1_3: true,
            cipher_suites: Vec::new(),
            handshake_ms: 5_000,
        };
        let read_file = Arc::new(move |_: &Path| Ok(pem.clone().into_bytes()));
        Arc::new(TlsContext::of_server(options, read_file).expect("usable files"))
    };
    Arc::clone(CONTEXT.get_or_init(make))
}

/// What a session takes that has heard a greeting: its buffers and the keys.
const SESSION_BYTES: u64 = 256 << 10;
