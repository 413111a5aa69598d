//! Addresses as Java writes them, since log lines and `cons` show them so.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// An address as `InetAddress.toString` writes one without a name: `/127.0.0.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JavaIp(pub IpAddr);

/// An address with its port: `/127.0.0.1:2181`, `/[0:0:0:0:0:0:0:1]:2181`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JavaAddress(pub SocketAddr);

impl fmt::Display for JavaIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("/")?;
        write_ip(f, self.0)
    }
}

impl fmt::Display for JavaAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.0.port();
        match self.0.ip().to_canonical() {
            IpAddr::V4(ip) => write!(f, "/{ip}:{port}"),
            ip => {
                f.write_str("/[")?;
                write_ip(f, ip)?;
                write!(f, "]:{port}")
            }
        }
    }
}

/// Writes an address without a slash. An IPv4 address in IPv6's dress is shown as what it is.
fn write_ip(f: &mut fmt::Formatter<'_>, ip: IpAddr) -> fmt::Result {
    match ip.to_canonical() {
        IpAddr::V4(ip) => write!(f, "{ip}"),
        IpAddr::V6(ip) => write_v6(f, ip),
    }
}

/// Java abbreviates no zeros.
fn write_v6(f: &mut fmt::Formatter<'_>, ip: Ipv6Addr) -> fmt::Result {
    for (number, part) in ip.segments().iter().enumerate() {
        if number > 0 {
            f.write_str(":")?;
        }
        write!(f, "{part:x}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(address: &str) -> (String, String) {
        let address: SocketAddr = address.parse().expect("an address");
        (JavaAddress(address).to_string(), JavaIp(address.ip()).to_string())
    }

    #[test]
    fn addresses_look_as_in_java() {
        assert_eq!(
            shown("127.0.0.1:80"),
            ("/127.0.0.1:80".into(), "/127.0.0.1".into())
        );
        assert_eq!(
            shown("[::ffff:10.0.0.1]:80"),
            ("/10.0.0.1:80".into(), "/10.0.0.1".into())
        );
        let v6 = ("/[0:0:0:0:0:0:0:1]:80".into(), "/0:0:0:0:0:0:0:1".into());
        assert_eq!(shown("[::1]:80"), v6);
    }
}
