//! The text behind `-server`: servers, and the node below which everything happens. (ConnectStringParser)

use crate::tree::path;

/// Where the servers are, and what is put before every path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectString {
    /// As the user wrote it.
    pub text: String,
    /// Each `host:port`.
    pub servers: Vec<String>,
    /// Empty, or a path without a slash at its end.
    pub chroot: String,
}

impl ConnectString {
    /// Reads `host[:port],...[/chroot]`; the port is 2181 unless it is given.
    ///
    /// # Errors
    /// A sentence that says what is wrong and how it should look.
    pub fn parse(text: &str) -> Result<ConnectString, String> {
        let (servers, chroot) = match text.find('/') {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let chroot = if chroot == "/" { "" } else { chroot };
        if !chroot.is_empty() {
            path::validate(chroot).map_err(|why| format!("the path {chroot:?} behind the servers: {why}"))?;
        }
        let servers: Vec<String> = servers
            .split(',')
            .map(str::trim)
            .filter(|server| !server.is_empty())
            .map(with_port)
            .collect::<Result<_, _>>()?;
        if servers.is_empty() {
            return Err(format!(
                "{text:?} names no server: write host:port,host:port/path"
            ));
        }
        Ok(ConnectString {
            text: text.to_owned(),
            servers,
            chroot: chroot.to_owned(),
        })
    }

    /// The path that the server knows a node by.
    pub fn to_server(&self, path: &str) -> String {
        match path {
            "/" if !self.chroot.is_empty() => self.chroot.clone(),
            _ => format!("{}{path}", self.chroot),
        }
    }

    /// The path that the user knows a node by; one outside is shown as it is.
    pub fn to_user(&self, path: &str) -> String {
        match path.strip_prefix(self.chroot.as_str()) {
            Some("") => "/".to_owned(),
            Some(below) if below.starts_with('/') => below.to_owned(),
            _ => path.to_owned(),
        }
    }
}

fn with_port(server: &str) -> Result<String, String> {
    let bare_v6 = server.matches(':').count() > 1 && !server.contains(']');
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) if !bare_v6 && !server.ends_with(']') => (host, port),
        _ => (server, "2181"),
    };
    match port.parse::<u16>() {
        Ok(port) if port > 0 && !host.is_empty() && bare_v6 => Ok(format!("[{host}]:{port}")),
        Ok(port) if port > 0 && !host.is_empty() => Ok(format!("{host}:{port}")),
        _ => Err(format!("{server:?} is no server: write host:port")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_ports_and_the_path_behind_them_are_read() {
        for (text, servers, chroot) in [
            ("a:1", vec!["a:1"], ""),
            ("a", vec!["a:2181"], ""),
            ("a:1,b , c:3/", vec!["a:1", "b:2181", "c:3"], ""),
            ("a:1,b:2/app/x", vec!["a:1", "b:2"], "/app/x"),
            ("[::1]:5,[fe80::1]/x", vec!["[::1]:5", "[fe80::1]:2181"], "/x"),
            ("::1", vec!["[::1]:2181"], ""),
        ] {
            let read = ConnectString::parse(text).expect(text);
            assert_eq!(
                (read.servers, read.chroot.as_str()),
                (servers.iter().map(|s| (*s).to_owned()).collect(), chroot)
            );
        }
        for text in ["", "/a", "a:x", "a:0", ":1", "a:70000", "a/b/", "a//b", ","] {
            assert!(ConnectString::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn paths_go_below_the_chroot_and_come_back() {
        let plain = ConnectString::parse("a").expect("good");
        let below = ConnectString::parse("a/app").expect("good");
        assert_eq!(
            (plain.to_server("/"), plain.to_server("/x")),
            ("/".into(), "/x".into())
        );
        assert_eq!(
            (below.to_server("/"), below.to_server("/x")),
            ("/app".into(), "/app/x".into())
        );
        assert_eq!(
            (plain.to_user("/"), plain.to_user("/x")),
            ("/".into(), "/x".into())
        );
        assert_eq!(
            (below.to_user("/app"), below.to_user("/app/x")),
            ("/".into(), "/x".into())
        );
        assert_eq!(
            (below.to_user("/apple"), below.to_user("/x")),
            ("/apple".into(), "/x".into())
        );
    }
}
