//! Why a command did not do what was asked: in Java's words, and as an exit code.

use std::io;

use serde_json::{Value, json};

use super::safe::safe_name;
use super::session::Lost;
use crate::proto::{ErrorCode, Malformed};
use crate::runtime::ExitCode;
use crate::tree::InvalidPath;

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// The server says no.
    Server {
        /// Why.
        code: ErrorCode,
        /// To which node; Java's exceptions print `null` for none.
        path: Option<String>,
    },
    /// What was asked can never be right; nothing was sent.
    Argument(String),
    /// A number is none. (NumberFormatException)
    Number(String),
    /// The words are not those of the command.
    Usage(String),
    /// The session is over, or was closed.
    NotConnected,
    /// There is no answer.
    Lost {
        /// Why.
        lost: Lost,
        /// The node it was about.
        path: Option<String>,
    },
    /// The user has had enough.
    Interrupted(i32),
    /// The server's answer makes no sense.
    Malformed(Malformed),
    /// What is to be said cannot be written.
    Output(io::Error),
    /// It is said already.
    Said,
}

impl Failure {
    /// An error code about a node.
    pub fn server(code: ErrorCode, path: &str) -> Failure {
        Failure::Server {
            code,
            path: Some(path.to_owned()),
        }
    }

    /// A path that no node can have, as Java's client refuses it. (PathUtils.validatePath)
    pub fn path(path: &str, why: InvalidPath) -> Failure {
        use InvalidPath::{Character, EmptyName, Null, Relative};
        Failure::Argument(match why {
            Null(_) | EmptyName(_) | Relative(_) | Character(_) => {
                format!("Invalid path string \"{}\" caused by {why}", safe_name(path))
            }
            _ => why.to_string(),
        })
    }

    /// One line for people; empty if nothing is to be said. (ZooKeeperMain.processCmd)
    pub fn text(&self) -> String {
        match self {
            Failure::Server { code, path } => refused(*code, &name(path)),
            Failure::Argument(why) => format!("Command failed: java.lang.IllegalArgumentException: {why}"),
            Failure::Number(text) => {
                let text = safe_name(text);
                format!("Command failed: java.lang.NumberFormatException: For input string: \"{text}\"")
            }
            Failure::Usage(why) => why.clone(),
            Failure::NotConnected => "Not connected".to_owned(),
            Failure::Lost { lost, path } => {
                let about = path
                    .as_ref()
                    .map_or_else(String::new, |path| format!(" for {}", safe_name(path)));
                let (code, why) = match lost {
                    Lost::Connection(why) => ("ConnectionLoss", format!(" ({})", safe_name(why))),
                    Lost::Expired => ("Session expired", String::new()),
                    Lost::AuthFailed => ("AuthFailed", String::new()),
                    Lost::Closed => return "Not connected".to_owned(),
                };
                format!("KeeperErrorCode = {code}{about}{why}")
            }
            Failure::Interrupted(_) => "Interrupted: what was under way may still be done".to_owned(),
            Failure::Malformed(why) => format!("the server's answer cannot be read: {why}"),
            Failure::Output(error) => format!("cannot write the output: {error}"),
            Failure::Said => String::new(),
        }
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        match self {
            Failure::Server { code, path } => json!({
                "error": code.name(), "code": code.number(), "path": path, "message": self.text(),
            }),
            Failure::Lost { lost, path } => {
                let error = match lost {
                    Lost::Connection(_) => ErrorCode::ConnectionLoss,
                    Lost::Expired | Lost::Closed => ErrorCode::SessionExpired,
                    Lost::AuthFailed => ErrorCode::AuthFailed,
                };
                json!({"error": error.name(), "code": error.number(), "path": path, "message": self.text()})
            }
            _ => json!({"error": self.kind(), "message": self.text()}),
        }
    }

    /// With what a script is to end.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Usage(_) | Failure::Number(_) => ExitCode::BadConfig,
            Failure::NotConnected | Failure::Lost { .. } => ExitCode::NoSession,
            Failure::Interrupted(SIGTERM) => ExitCode::Terminated,
            Failure::Interrupted(_) => ExitCode::Interrupted,
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::Ok,
            _ => ExitCode::Unexpected,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Failure::Usage(_) => "Usage",
            Failure::NotConnected => "NotConnected",
            Failure::Interrupted(_) => "Interrupted",
            Failure::Malformed(_) => "MarshallingError",
            _ => "BadArguments",
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Output(error)
    }
}

fn name(path: &Option<String>) -> String {
    path.as_ref()
        .map_or_else(|| "null".to_owned(), |path| safe_name(path).into_owned())
}

fn refused(code: ErrorCode, path: &str) -> String {
    match code {
        ErrorCode::NoNode => format!("Node does not exist: {path}"),
        ErrorCode::NoChildrenForEphemerals => format!("Ephemerals cannot have children: {path}"),
        ErrorCode::NodeExists => format!("Node already exists: {path}"),
        ErrorCode::NotEmpty => format!("Node not empty: {path}"),
        ErrorCode::NotReadOnly => format!("Not a read-only call: {path}"),
        ErrorCode::InvalidAcl => format!("Acl is not valid : {path}"),
        ErrorCode::NoAuth => format!("Authentication is not valid : {path}"),
        ErrorCode::BadArguments => format!("Arguments are not valid : {path}"),
        ErrorCode::BadVersion => format!("version No is not valid : {path}"),
        _ => format!("KeeperErrorCode = {} for {path}", code.name()),
    }
}

const SIGTERM: i32 = signal_hook::consts::SIGTERM;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_in_javas_words() {
        for (code, text) in [
            (ErrorCode::NoNode, "Node does not exist: /x"),
            (ErrorCode::NodeExists, "Node already exists: /x"),
            (ErrorCode::NoAuth, "Authentication is not valid : /x"),
            (ErrorCode::BadVersion, "version No is not valid : /x"),
            (ErrorCode::SystemError, "KeeperErrorCode = SystemError for /x"),
        ] {
            let failure = Failure::server(code, "/x");
            assert_eq!(
                (failure.text().as_str(), failure.exit_code()),
                (text, ExitCode::Unexpected)
            );
        }
        let lost = Failure::Lost {
            lost: Lost::Connection("a:1: refused".to_owned()),
            path: Some("/x\x1b[2J".to_owned()),
        };
        assert_eq!(
            lost.text(),
            "KeeperErrorCode = ConnectionLoss for /x\\x1b[2J (a:1: refused)"
        );
        assert_eq!(lost.json()["code"], -4);
        assert_eq!(lost.exit_code(), ExitCode::NoSession);
        let path = Failure::path("/a//b", InvalidPath::EmptyName(3)).text();
        let wanted = "Command failed: java.lang.IllegalArgumentException: Invalid path string \"/a//b\" caused by empty \
                      node name specified @3";
        assert_eq!(path, wanted);
        assert_eq!(Failure::Number("x".to_owned()).exit_code(), ExitCode::BadConfig);
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure() {
        let gone = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(gone.exit_code(), ExitCode::Ok);
        let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.exit_code(), ExitCode::Unexpected);
    }
}
