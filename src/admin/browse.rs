//! The tree browser: one node that everybody may read, and the names below it. No password's digest is shown.

use serde_json::{Value, json};

use crate::auth::Auth;
use crate::proto::{Acl, Perms};
use crate::tree::DataTree;

/// What the page shows of a node. The error is for people.
pub(super) fn node(tree: &DataTree, auth: &Auth, path: &str) -> Result<Value, &'static str> {
    // The tree knows its root without a name, too.
    let node = tree.get(path).filter(|_| path.starts_with('/'));
    let node = node.ok_or("there is no such node")?;
    if !auth.allows(node.acl(), Perms::READ, &[]) {
        return Err("not everybody may read this node");
    }
    let data = node.data();
    let bytes = data.unwrap_or_default();
    let shown = &bytes[..bytes.len().min(MOST_DATA_BYTES)];
    let stat = node.shown_stat();
    let mut names: Vec<&str> = node.children().take(MOST_LISTED).collect();
    names.sort_unstable();
    Ok(json!({
        "path": path,
        "length": data.map(<[u8]>::len),
        "text": as_text(shown),
        "hex": hex(&shown[..shown.len().min(MOST_HEX_BYTES)]),
        "truncated": shown.len() < bytes.len(),
        "acl": node.acl().iter().map(shown_acl).collect::<Vec<_>>(),
        "stat": {
            "czxid": stat.czxid.to_string(),
            "mzxid": stat.mzxid.to_string(),
            "pzxid": stat.pzxid.to_string(),
            "ctime": stat.ctime,
            "mtime": stat.mtime,
            "version": stat.version,
            "cversion": stat.cversion,
            "aversion": stat.aversion,
            "ephemeral_owner": (stat.ephemeral_owner != 0).then(|| format!("0x{:x}", stat.ephemeral_owner)),
        },
        "child_count": node.child_count(),
        "children": names,
    }))
}

/// The data, if it is text that a page can show.
fn as_text(data: &[u8]) -> Option<&str> {
    // A character may be cut in two at the end.
    let text = match std::str::from_utf8(data) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&data[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let is_shown = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    text.chars().all(is_shown).then_some(text)
}

fn hex(data: &[u8]) -> String {
    let bytes: Vec<String> = data.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

/// `scheme:who` and the permissions in the letters of the command line. What follows the name of a user is the
/// digest of its password.
fn shown_acl(acl: &Acl) -> String {
    let who = match acl.id.scheme.as_str() {
        "world" | "ip" | "sasl" => acl.id.id.as_str(),
        _ => acl.id.id.split(':').next().unwrap_or_default(),
    };
    let letters = [
        (Perms::CREATE, 'c'),
        (Perms::DELETE, 'd'),
        (Perms::READ, 'r'),
        (Perms::WRITE, 'w'),
        (Perms::ADMIN, 'a'),
    ];
    let held = letters.iter().filter(|(perms, _)| acl.perms.intersects(*perms));
    let letters: String = held.map(|(_, letter)| letter).collect();
    format!("{}:{who}: {letters}", acl.id.scheme)
}

const MOST_DATA_BYTES: usize = 16 * 1024;
const MOST_HEX_BYTES: usize = 256;
const MOST_LISTED: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Id;

    #[test]
    fn nobody_sees_a_digest() {
        let acl = |scheme: &str, id: &str| {
            shown_acl(&Acl {
                perms: Perms::ALL,
                id: Id {
                    scheme: scheme.to_owned(),
                    id: id.to_owned(),
                },
            })
        };
        assert_eq!(
            acl("digest", "bob:2NbgHkkH6wGbPbNvGdhvYRzTOhM="),
            "digest:bob: cdrwa"
        );
        assert_eq!(acl("world", "anyone"), "world:anyone: cdrwa");
        assert_eq!(acl("own", "name:secret"), "own:name: cdrwa");
    }

    #[test]
    fn data_is_text_if_it_can_be_shown_as_such() {
        assert_eq!(as_text("gr\u{fc}n\n".as_bytes()), Some("gr\u{fc}n\n"));
        assert_eq!(as_text(&"\u{fc}".as_bytes()[..1]), Some(""));
        assert_eq!([as_text(b"a\0b"), as_text(&[0xff, 0x41])], [None, None]);
        assert_eq!(hex(&[0, 255]), "00 ff");
    }

    #[test]
    fn a_node_is_shown_with_its_children_or_not_at_all() {
        let (tree, auth) = (DataTree::new(), Auth::default());
        let root = node(&tree, &auth, "/").expect("the root");
        assert_eq!(root["children"], json!(["zookeeper"]));
        assert_eq!(node(&tree, &auth, "/../etc/passwd"), Err("there is no such node"));
        assert_eq!(node(&tree, &auth, ""), Err("there is no such node"));
    }
}
