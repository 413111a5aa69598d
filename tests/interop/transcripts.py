#!/usr/bin/env python3
"""Java's own command line and the four-letter words, recorded on two servers;
then our command line beside Java's, on each of them.

    transcripts.py [one [other]]      kinds of server, default: java oxkeeper
    transcripts.py --show java        prints the recording of one server

Each recording is a list of (what was asked, the lines that came back). What must
differ between two runs is replaced: times, session ids (by the order in which
they appear), ports, directories, latencies. Zxids, versions, counters and texts
are compared as they are.
"""

import difflib
import re
import sys

import peers
import wire


def main():
    arguments = sys.argv[1:]
    if arguments[:1] == ["--show"]:
        for name, record in RECORDINGS.items():
            print(f"===== {name}")
            print("\n".join(as_lines(record(arguments[1]))))
        return 0
    one, other = (arguments + ["java", "oxkeeper"][len(arguments) :])[:2]
    passed = failed = 0
    pairs = [(name, one, other, record(one), record(other)) for name, record in RECORDINGS.items()]
    for name, record in CLIENT_RECORDINGS.items():
        for kind, javas in ((one, 3), (other, 4)):
            wanted = next(pair for pair in pairs if pair[0] == name)[javas]
            found = record(kind, client="oxkeeper")
            pairs.append((f"{name}, on {kind}", "zkCli", "oxkeeper cli", forgive(wanted), forgive(found)))
    for name, one, other, wanted, found in pairs:
        differing = [step for step in zip(wanted, found) if step[0] != step[1]]
        assert len(wanted) == len(found)
        passed += len(wanted) - len(differing)
        failed += len(differing)
        for step in differing:
            print(f"FAILED {name}:")
            print("\n".join(difference(step, one, other)))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def as_lines(steps):
    return [line for asked, lines in steps for line in [f"> {asked}"] + list(lines)]


def difference(step, one, other):
    return difflib.unified_diff(
        as_lines([step[0]]), as_lines([step[1]]), one, other, n=30, lineterm=""
    )


# ---- Java's command line, one process with many commands ----


def interactive(kind, client="java"):
    with fresh_server(kind) as server:
        return interact(server, COMMANDS, client)


def interactive_bad_auth(kind, client="java"):
    """A scheme that the server does not know ends the session."""
    with fresh_server(kind) as server:
        return interact(server, BAD_AUTH, client)


def interact(server, commands, client):
    normal = Normal(server)
    session = peers.CommandLine(server.address, client=client)
    steps = []
    for asked in commands:
        command, _, expected = asked.partition("  # ")
        command = command.replace("ADDRESS", server.address)
        session.send(command)
        found = [line for text in expected.split("; ") if text for line in session.until(text)]
        session.send("printwatches")
        steps.append((asked, apart(found + session.until_marker(), normal)))
    rest, code = session.quit()
    steps.append(("quit", apart(rest, normal) + [f"exit code {code}"]))
    return steps


# A text after `#` is waited for: what it names is printed by the thread of the
# events, at any time. `;` stands between two of them.
COMMANDS = """\
ls /  # SyncConnected
ls2 /
create /a one
create /a again
create /a/b two
create /a/c three
create /x/y no-parent
create -s /a/seq- s
create -s /a/seq- s
create -e /e short
create /e/child no
create -e -s /a/es- es
create -s -e /a/es- es
create bad-path data
create /bad//path data
create /bad/ data
create /a/./b data
create /z data world:anyone:r
create /z2 data world:anyone:cdrwa,ip:127.0.0.1:rw
create /z3 data digest:ann:+7K83PhyQ3ijGj0ADmljf0quVwQ=:cdrwa
create /z4 data not-an-acl
get /a
get /none
get /a watch
set /a changed  # NodeDataChanged
set /a with-version 1
set /none data
ls /a
ls /a watch
create /a/d four  # NodeChildrenChanged
ls /none
ls2 /a
ls2 /a watch
delete /a/d  # NodeChildrenChanged
delete /a
delete /none
delete /a/b 0
stat /a
stat /none
stat /later watch
create /later here  # NodeCreated
stat /later watch
delete /later  # NodeDeleted
aget /a
getAcl /a
getAcl /z
getAcl /z2
getAcl /z3
getAcl /none
setAcl /a world:anyone:cdrwa
setAcl /a world:anyone:crwa,ip:127.0.0.1:cdrwa 1
setAcl /none world:anyone:r
addauth digest ann:secret
setAcl /z2 auth::cdrwa
getAcl /z2
create /mine data auth::cdrwa
getAcl /mine
get /mine
sync /a  # Sync returned
sync /none  # Sync returned
setquota -n 3 /a
setquota -b 1000 /a
listquota /a
create /a/over quota
create /a/over2 quota
listquota /a
setquota -n 5 /a/c
setquota -x 5 /x
setquota -n 5 /none
delquota -n /a
listquota /a
delquota -b /a
listquota /a
delquota /a
listquota /a
delquota /none
get /zookeeper/quota
ls /zookeeper/quota
delete /zookeeper
delete /zookeeper/quota
create /deep 1
create /deep/er 2
create /deep/er/est 3
rmr /deep
rmr /none
ls /
history
redo 2
redo 1000
redo -1
printwatches off
get /a watch
set /a unseen
sync /a  # Sync returned
printwatches on
get /a watch
set /a seen  # NodeDataChanged
nonsense
get
create
set /a
close
ls /
connect ADDRESS  # SyncConnected
ls /
get /e
stat /zookeeper
""".splitlines()


BAD_AUTH = """\
create /a data  # SyncConnected
addauth digest ann:secret
addauth nonsense x  # AuthFailed
ls /
""".splitlines()


def one_shot(kind, client="java"):
    """A process for each command: both streams and the exit code. Whether such a
    short process still prints its events is chance."""
    with fresh_server(kind) as server:
        normal = Normal(server)
        steps = []
        for words in ONE_SHOT:
            out, err, code = peers.command_line_once(server.address, words, client=client)
            steps.append((
                " ".join(words),
                ["stdout:"] + apart(out.splitlines(), normal, events=False)
                + ["stderr:"] + apart(without_stack(err.splitlines()), normal)
                + [f"exit code {code}"],
            ))
        return steps


# Among them those that end the command line with an exception.
ONE_SHOT = [
    ["create", "/a", "data"],
    ["get", "/a"],
    ["create", "/locked", "data", "digest:ann:+7K83PhyQ3ijGj0ADmljf0quVwQ=:cdrwa"],
    ["get", "/locked"],
    ["set", "/a", "data", "7"],
    ["delete", "/a", "7"],
    ["setAcl", "/a", "nonsense:x:r"],
    ["create", "/acl", "data", "auth::r"],
    ["create", "/acl", "data", "digest:no-colon:r"],
    ["-r", "ls", "/"],
    ["-timeout", "5000", "stat", "/a"],
    ["create", "-e", "/a/b"],
]


def apart(lines, normal, events=True):
    """What came from watches, in its order, after everything else, since it is
    printed by a thread of its own."""
    seen, rest = [], []
    for line in lines:
        if line.startswith(("WATCHER::", "WatchedEvent")):
            if rest and rest[-1] == "":
                rest.pop()
            seen.append(line)
        else:
            rest.append(line)
    return [normal.line(line) for line in rest + (seen if events else [])]


def without_stack(lines):
    return [line for line in lines if not line.startswith("\tat ")]


# ---- our own command line beside Java's, on the same kind of server ----


def forgive(steps):
    """What our command line says otherwise on purpose (COMPAT.md): misuse is told
    with the one command's usage, exceptions that nobody caught are one line, and
    exit codes tell failures."""
    return [(asked, forgive_lines(asked, lines)) for asked, lines in steps]


def forgive_lines(asked, lines):
    if asked.split("  # ")[0] in MISUSED:
        return ["<misuse>"]
    found = []
    for line in lines:
        line = re.sub(r'^Exception in thread "main" [\w.$]+: ', "", line)
        # Without a session Java answers the marker behind each command as well.
        again = line == "Not connected" and (asked != "ls /" or line in found)
        ours = ("JLine support", "exit code", "KeeperErrorCode = AuthFailed")
        if not again and not line.startswith(ours):
            found.append(line)
    return found


# The last one ends Java's with an exception; here it makes a node without data.
MISUSED = {
    "aget /a", "nonsense", "get", "create", "set /a", "setquota -x 5 /x", "create -e /a/b",
}


# ---- the four-letter words ----


def words_idle(kind):
    with fresh_server(kind) as server:
        return ask_all(server, Normal(server), ["srst"] + ALL_WORDS)


def words_busy(kind):
    """Clients of several kinds: busy, idle, with watches, with ephemerals."""
    with fresh_server(kind, config=["4lw.commands.whitelist=*"]) as server:
        clients = [wire.Client(server.port, timeout_ms) for timeout_ms in (30000, 30000, 40000)]
        normal = Normal(server, [client.session_id for client in clients])
        steps = ask_all(server, normal, ["ruok", "srst", "crst"])
        first, second, third = clients
        first.create("/a", b"12345")
        first.create("/a/e", b"", flags=wire.EPHEMERAL)
        second.create("/a/s-", b"", flags=wire.EPHEMERAL | wire.SEQUENTIAL)
        first.get("/a", watch=True)
        second.get("/a", watch=True)
        second.exists("/none", watch=True)
        second.children("/a", watch=True)
        third.ping()
        steps += ask_all(server, normal, ALL_WORDS)
        third.set("/a", b"1")
        third.multi(("create", "/m", b""), ("delete", "/m"))
        third.multi(("delete", "/none"))
        refused(third.delete, "/none")
        second.sync("/")
        first.get_acl("/a")
        steps += ask_all(server, normal, ALL_WORDS)
        first.abandon()
        second.close()
        peers.wait_until(
            lambda: len(server.word("cons").strip().splitlines()) == 2, 10, "two sockets closed"
        )
        third.set_acl("/a", wire.READ_ACL)
        steps += ask_all(server, normal, ["ruok", "srst"] + ALL_WORDS)
        return steps


def words_masks(kind):
    with fresh_server(kind) as server:
        normal = Normal(server)
        return ask_all(server, normal, ["srst"]) + [
            ("stmk 0x1ff", [server.word("stmk", (0x1FF).to_bytes(8, "big"))]),
            ("gtmk", [server.word("gtmk")]),
        ] + ask_all(server, normal, [
            "ruok\n", "ruok and more", "srvr\r\n", "RUOK", "reqs", "hash",
        ])


def words_listed(kind):
    with fresh_server(kind, config=["4lw.commands.whitelist= ruok, wchc ,conf,bogus"]) as server:
        return ask_all(server, Normal(server), ALL_WORDS)


def words_read_only_enabled(kind):
    with fresh_server(
        kind, config=["4lw.commands.whitelist=ruok"], properties=["readonlymode.enabled=true"]
    ) as server:
        return ask_all(server, Normal(server), ["isro", "srvr", "stat", "ruok"])


def words_configured(kind):
    with fresh_server(
        kind,
        tick_ms=1234,
        config=[
            "maxClientCnxns=7", "minSessionTimeout=1500", "maxSessionTimeout=70000",
            "clientPortAddress=127.0.0.1", "dataLogDir=DATADIR-log",
        ],
    ) as server:
        return ask_all(server, Normal(server), ["conf"])


def ask_all(server, normal, words):
    """The word stmk comes with eight bytes of mask; without, both servers wait."""
    masks = {"stmk": (0x132).to_bytes(8, "big")}
    return [
        (word.strip(), normal.answer(word, server.word(word, masks.get(word, b""))))
        for word in words
    ]


def refused(call, *arguments):
    try:
        call(*arguments)
    except wire.Refused:
        return
    raise AssertionError(f"{arguments} was not refused")


ALL_WORDS = [
    "ruok", "conf", "envi", "isro", "gtmk", "wchs", "wchc", "wchp", "dump", "cons", "stat",
    "srvr", "mntr", "stmk", "crst", "cons", "srst", "srvr",
]


def fresh_server(kind, tick_ms=2000, config=(), properties=()):
    # Below a temporary directory, so that DATADIR-log goes with it.
    data_dir = peers.temporary_directory("data") / "data"
    config = [line.replace("DATADIR", str(data_dir)) for line in config]
    server = peers.Server(kind, data_dir, tick_ms=tick_ms, config=config, properties=properties)
    return server.start()


class Normal:
    """Replaces what differs between two runs."""

    def __init__(self, server, sessions=()):
        # How often a server was asked while it started is chance; the word srst
        # sets the counters to zero.
        self.count_packets = False
        self.sessions = [f"{session:#x}" for session in sessions]
        self.fixed = [(str(server.data_dir), "<dir>"), (server.address, "<address>"),
                      (f"clientPort={server.port}", "clientPort=<port>")]

    def line(self, line):
        for text, name in self.fixed:
            line = line.replace(text, name)
        line = re.sub(r"0x1[0-9a-f]{14}\b", self._session, line)
        # Java keeps the names of children in a hash set.
        line = re.sub(r"^\[(.+)\]$", lambda names: f"[{', '.join(sorted(names[1].split(', ')))}]", line)
        return re.sub(r"\w{3} \w{3} \d\d \d\d:\d\d:\d\d \w+ \d{4}", "<date>", line)

    def answer(self, word, text):
        lines = [self.line(line) for line in text.split("\n")]
        self.count_packets |= text == "Server stats reset.\n"
        return getattr(self, "_" + word.strip(), lambda lines: lines)(lines)

    def _session(self, match):
        if match.group() not in self.sessions:
            self.sessions.append(match.group())
        return f"<session {self.sessions.index(match.group())}>"

    def _cons(self, lines):
        """Java keeps connections in a hash set: no order."""
        lines = [re.sub(r"/[\d.:]+:\d+\[", "/<peer>[", line) for line in lines]
        lines = [re.sub(r"\b(est|lresp|\w*lat)=\d+", r"\1=<n>", line) for line in lines]
        return sorted(lines[:-1]) + lines[-1:]

    def _stat(self, lines):
        end = lines.index("") if "" in lines else 0
        return self._srvr(lines[:2] + self._cons(lines[2:end] + [""])[:-1] + lines[end:])

    def _srvr(self, lines):
        lines = [re.sub(r"^(Latency .*: ).*", r"\1<n>", line) for line in lines]
        if self.count_packets:
            return lines
        return [re.sub(r"^(Received|Sent): .*", r"\1: <n>", line) for line in lines]

    def _wchc(self, lines):
        """Blocks of a head and its indented lines, in the order of a hash map."""
        blocks = []
        for line in lines:
            if line.startswith("\t") and blocks:
                blocks[-1].append(line)
            else:
                blocks.append([line])
        return sum(([block[0]] + sorted(block[1:]) for block in sorted(blocks)), [])

    _wchp = _wchc

    def _mntr(self, lines):
        varying = "latency|file_descriptor_count|fsync_threshold_exceed_count"
        return [re.sub(rf"^(zk_\w*({varying})\t)\d+$", r"\1<n>", line) for line in lines]

    def _dump(self, lines):
        """Which sessions share a bucket depends on the moment, and Java shows
        buckets that ran empty."""
        lines = [line for line in lines if not re.match("0 expire at ", line)]
        lines = [re.sub(r"^\d+ expire at <date>:", "<n> expire at <date>:", line) for line in lines]
        lines = [re.sub(r"^Session Sets \(\d+\)", "Session Sets (<n>)", line) for line in lines]
        half = next((n for n, line in enumerate(lines) if line.startswith("ephemeral")), 0)
        return sorted(set(lines[:half])) + lines[half : half + 2] + self._wchc(lines[half + 2 :])

    def _envi(self, lines):
        # The name of the host is the resolver's in Java and the system's own here.
        machine = ("zookeeper.version", "os.", "user.", "Environment")
        return [
            line if line.startswith(machine) else re.sub("=.*", "=<value>", line)
            for line in lines
        ]


RECORDINGS = {
    "command line": interactive,
    "command line, unknown auth": interactive_bad_auth,
    "command line, one command each": one_shot,
    "words, no client": words_idle,
    "words, clients": words_busy,
    "words, masks and unknown ones": words_masks,
    "words, white list": words_listed,
    "words, read-only mode enabled": words_read_only_enabled,
    "words, configuration": words_configured,
}

CLIENT_RECORDINGS = {
    "command line": interactive,
    "command line, unknown auth": interactive_bad_auth,
    "command line, one command each": one_shot,
}

if __name__ == "__main__":
    sys.exit(main())
