//! The environment of the process, as `envi` and the first lines of the log show it. (Environment)

use crate::runtime::machine::Machine;

use super::word_answers::VERSION;

/// Java's fifteen entries in Java's order, since tools read them by name. What only a Java machine has says
/// `<NA>`, which is Java's own word for an unknown value; `java.vendor` names this program, so that one look
/// tells what really runs, and `java.class.path` its file.
pub fn entries(machine: &Machine) -> Vec<(&'static str, String)> {
    let missing = || "<NA>".to_owned();
    let known = |value: &Option<String>| value.clone().unwrap_or_else(missing);
    vec![
        ("zookeeper.version", VERSION.to_owned()),
        ("host.name", known(&machine.host_name)),
        ("java.version", missing()),
        (
            "java.vendor",
            concat!("oxkeeper ", env!("CARGO_PKG_VERSION")).to_owned(),
        ),
        ("java.home", missing()),
        ("java.class.path", known(&machine.program)),
        ("java.library.path", missing()),
        ("java.io.tmpdir", known(&machine.temporary_dir)),
        ("java.compiler", missing()),
        ("os.name", machine.os_name.clone()),
        ("os.arch", java_arch(machine.arch).to_owned()),
        ("os.version", machine.os_version.clone()),
        ("user.name", known(&machine.user_name)),
        ("user.home", known(&machine.user_home)),
        ("user.dir", known(&machine.working_dir)),
    ]
}

/// Java has names of its own for some processors.
fn java_arch(arch: &str) -> &str {
    match arch {
        "x86_64" => "amd64",
        "x86" => "i386",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_java_s() {
        let entries = entries(&Machine::look());
        let keys: Vec<&str> = entries.iter().map(|(key, _)| *key).collect();
        let expected = "zookeeper.version host.name java.version java.vendor java.home java.class.path \
            java.library.path java.io.tmpdir java.compiler os.name os.arch os.version user.name user.home user.dir";
        assert_eq!(keys.join(" "), expected);
        assert!(entries.iter().all(|(_, value)| !value.is_empty()));
    }
}
