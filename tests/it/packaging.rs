//! What carries the program to machines: the Debian package, completions, manual, and the container's entry.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use oxkeeper::config::{Config, Source, SystemProperties};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn said(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&stderr)
    );
    String::from_utf8(stdout).expect("text")
}

fn program(words: &[&str]) -> String {
    said(Command::new(env!("CARGO_BIN_EXE_oxkeeper")).args(words))
}

#[test]
fn the_debian_package_has_all_parts_and_they_find_each_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let (out, root) = (dir.path().join("an output"), dir.path().join("root"));
    let mut make = Command::new("bash");
    make.arg(repository().join("scripts/make-deb.sh"))
        .arg(&out)
        .current_dir("/");
    make.env("DEBFULLNAME", "Ann & Co")
        .env("DEBEMAIL", "ann@example.org");
    let package = said(make.env("OXKEEPER_BIN", env!("CARGO_BIN_EXE_oxkeeper")));
    let package = PathBuf::from(package.trim_end());
    assert!(
        package.starts_with(&out) && package.is_file(),
        "{}",
        package.display()
    );
    let fields = said(Command::new("dpkg-deb").arg("--field").arg(&package));
    let version = concat!("Version: ", env!("CARGO_PKG_VERSION"), "\n");
    assert!(
        fields.contains("Package: oxkeeper\n") && fields.contains(version),
        "{fields}"
    );
    assert!(
        fields.contains("\nMaintainer: Ann & Co <ann@example.org>\n") && fields.matches('@').count() == 1,
        "nothing is left to fill in: {fields}"
    );
    let contents = said(Command::new("dpkg-deb").arg("--contents").arg(&package));
    assert!(
        contents.lines().all(|line| line.contains(" root/root ")),
        "{contents}"
    );
    said(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&root));
    for part in [
        "lib/systemd/system/oxkeeper.service",
        "etc/zookeeper/zoo.cfg",
        "usr/share/man/man1/oxkeeper.1.gz",
        "usr/share/bash-completion/completions/oxkeeper",
        "usr/share/doc/oxkeeper/copyright",
        "usr/share/doc/oxkeeper/MIGRATION.md",
    ] {
        assert!(root.join(part).is_file(), "{part}");
    }
    // Without a word on where the program is: it is on the path of an installed system.
    let path = format!(
        "{}:{}",
        root.join("usr/bin").display(),
        std::env::var("PATH").expect("a path")
    );
    let mut print = Command::new("bash");
    print
        .arg(root.join("usr/share/oxkeeper/scripts/zkServer.sh"))
        .args(["print-cmd", "/x.cfg"]);
    let printed = said(print.env("PATH", path).env_remove("OXKEEPER_BIN"));
    assert!(
        printed.starts_with(&format!("\"{}\" server", root.join("usr/bin/oxkeeper").display())),
        "{printed}"
    );
}

#[test]
fn the_unit_starts_what_the_package_installs() {
    let unit = fs::read_to_string(repository().join("conf/systemd/oxkeeper.service")).expect("a unit");
    assert!(unit.contains("\nExecStart=/usr/bin/oxkeeper server /etc/zookeeper/zoo.cfg\n"));
    let sample = fs::read_to_string(repository().join("conf/zoo_sample.cfg")).expect("a sample");
    // What the unit lets it write is where the installed configuration puts the data.
    assert!(
        unit.contains("\nStateDirectory=zookeeper\n") && sample.contains("\ndataDir=/var/lib/zookeeper\n")
    );
}

#[test]
fn bash_completes_commands_and_options() {
    let script = program(&["completion", "bash"]);
    let complete = |words: &str| {
        let count = words.split(' ').count() - 1;
        let ask = format!(
            "{script}\nCOMP_WORDS=({words}) COMP_CWORD={count}\n_oxkeeper\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        said(Command::new("bash").args(["-uc", &ask]))
    };
    for (words, expected) in [
        ("oxkeeper ro", "rounds\n"),
        ("oxkeeper rounds --fo", "--follow\n"),
        ("oxkeeper cli -ser", "-server\n"),
        ("oxkeeper completion b", "bash\n"),
        ("oxkeeper --vers", "--version\n"),
        ("oxkeeper rounds zk.lo", "\n"),
    ] {
        assert_eq!(complete(words), expected, "{words}");
    }
    // An empty word cannot be written in a list of words without quotes.
    assert!(complete("oxkeeper \"\"").contains("server\ncli\n"));
}

#[test]
fn the_container_s_entry_writes_a_configuration_that_holds() {
    let compose = fs::read_to_string(repository().join("conf/container/compose.yaml")).expect("a file");
    let lists: Vec<&str> = compose
        .lines()
        .filter_map(|line| line.trim().strip_prefix("ZOO_SERVERS: "))
        .collect();
    assert!(
        lists.len() == 3 && lists.iter().all(|list| *list == lists[0]),
        "{lists:?}"
    );
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["conf", "data", "datalog"] {
        fs::create_dir(dir.path().join(name)).expect("a directory");
    }
    let enter = |id: &str| {
        let mut entry = Command::new("bash");
        entry
            .arg(repository().join("conf/container/entrypoint.sh"))
            .args(["echo", "and", "so on"]);
        entry
            .env("ZOO_CONF_DIR", dir.path().join("conf"))
            .env("ZOO_DATA_DIR", dir.path().join("data"));
        entry.env("ZOO_DATA_LOG_DIR", dir.path().join("datalog"));
        said(
            entry
                .env("ZOO_SERVERS", format!("{} server.4=zoo4:1:2;2181", lists[0]))
                .env("ZOO_MY_ID", id),
        )
    };
    assert_eq!(enter("3"), "and so on\n");
    let path = dir.path().join("conf/zoo.cfg");
    let text = fs::read_to_string(&path).expect("a configuration");
    assert!(text.contains("\nserver.4=zoo4:1:2\n"), "{text}");
    let config = Config::load(&Source::File(path), SystemProperties::default()).expect("it holds");
    assert_eq!(config.ensemble.expect("an ensemble").me().sid.0, 3);
    // What is there stays.
    enter("1");
    assert_eq!(
        fs::read_to_string(dir.path().join("data/myid")).expect("myid"),
        "3\n"
    );
}
