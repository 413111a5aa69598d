//! What is between the servers: proxies, or with `OXKEEPER_HISTORY_NETWORK=namespaces` a network of the kernel's.

use std::net::IpAddr;
use std::process::Command;

use super::namespaces::Namespaces;
use super::proxy::Proxies;

/// All ways between servers, each direction of which can be cut.
#[derive(Debug)]
pub enum Network {
    Proxies(Proxies),
    Namespaces(Namespaces),
}

impl Network {
    /// A network for servers 1 to `count`.
    pub fn new(count: usize) -> Network {
        match std::env::var("OXKEEPER_HISTORY_NETWORK").as_deref() {
            Ok("namespaces") => Network::Namespaces(Namespaces::new(count)),
            Ok("proxies") | Err(_) => Network::Proxies(Proxies::default()),
            Ok(other) => panic!("OXKEEPER_HISTORY_NETWORK={other}: neither proxies nor namespaces"),
        }
    }

    /// Where clients find a server.
    pub fn address(&self, number: usize) -> IpAddr {
        self.host(number).parse().expect("an address")
    }

    /// How server `from` calls a port of server `to`: the host, and the port that leads there.
    pub fn way(&self, from: usize, to: usize, port: u16) -> (String, u16) {
        let port = match self {
            Network::Proxies(proxies) if from != to => proxies.proxy(from, to, port),
            _ => port,
        };
        (self.host(to), port)
    }

    /// A command that runs where the server lives.
    pub fn command(&self, number: usize, program: &str) -> Command {
        match self {
            Network::Proxies(_) => Command::new(program),
            Network::Namespaces(namespaces) => {
                let mut command = namespaces.command(number);
                command.arg(program);
                command
            }
        }
    }

    /// Nothing passes from one server to another any more.
    pub fn cut(&self, from: usize, to: usize) {
        match self {
            Network::Proxies(proxies) => proxies.cut(from, to),
            Network::Namespaces(namespaces) => namespaces.cut(from, to),
        }
    }

    /// Everything passes.
    pub fn mend(&self) {
        match self {
            Network::Proxies(proxies) => proxies.mend(),
            Network::Namespaces(namespaces) => namespaces.mend(),
        }
    }

    fn host(&self, number: usize) -> String {
        match self {
            Network::Proxies(_) => "127.0.0.1".to_owned(),
            Network::Namespaces(namespaces) => namespaces.address(number),
        }
    }
}
