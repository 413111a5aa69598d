#!/usr/bin/env python3
"""Our command line at a pseudo-terminal, in pipes, and one command at a time.

    terminal.py [kind of server]     default: oxkeeper

What a person sees and a script gets: completion, history, events while typing,
Ctrl-C, Ctrl-D, another width; lost servers; binary data; exit codes.
"""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import peers
import wire

KIND = (sys.argv[1:] or ["oxkeeper"])[0]
LIMIT_S = 60


def main():
    passed, failures = 0, 0
    for case in CASES:
        try:
            with peers.Server(KIND, peers.temporary_directory("terminal")) as server:
                case(server)
            passed += 1
        except Exception as error:
            failures += 1
            print(f"FAILED {case.__name__}: {type(error).__name__}: {error}")
    print(f"{passed} passed, {failures} failed")
    return 1 if failures or not passed else 0


# ---- at a terminal ----


def completion_and_history(server):
    with Terminal(server) as terminal:
        terminal.prompt(0)
        terminal.type("crea\t")
        terminal.see("create")
        terminal.type(" /alpha one\r")
        terminal.see("Created /alpha")
        terminal.prompt(1)
        terminal.enter("create /alps two")
        terminal.prompt(2)
        # Two names begin so: what they share is there already, the second tab lists them.
        terminal.type("get /al\t\t")
        terminal.see(r"alpha\s+alps")
        terminal.type("h\t\r")
        terminal.see("one")
        terminal.see("numChildren = 0")
        terminal.prompt(3)
        terminal.type("\x1b[A\x1b[A\r")
        terminal.see("Node already exists: /alps")
        terminal.prompt(4)
        # What is whole goes on below; an option of the command; a command behind help.
        terminal.type("ls /zookeeper\t\t\r")
        terminal.see(re.escape("[]"))
        terminal.prompt(5)
        terminal.type("help delqu\t\r")
        terminal.see("remove a limit")
        terminal.prompt(6)
        # The line can be changed in its middle.
        terminal.type("get /apha\x1b[D\x1b[D\x1b[Dl\r")
        terminal.see("one")
        terminal.prompt(7)
        terminal.enter("quit")
        terminal.see("Quitting...")
        assert terminal.ends() == 0


def an_event_while_typing(server):
    other = wire.Client(server.port)
    other.create("/watched", b"1")
    with Terminal(server) as terminal:
        terminal.prompt(0)
        terminal.enter("get -w /watched")
        terminal.prompt(1)
        terminal.type("ls /wat")
        terminal.see("ls /wat")
        other.set("/watched", b"2")
        terminal.see("WATCHER::")
        terminal.see("WatchedEvent state:SyncConnected type:NodeDataChanged path:/watched")
        # The half of the line is drawn again below the event, and can be gone on with.
        terminal.see(re.escape("(CONNECTED) 1] ls /wat"))
        terminal.type("ched\r")
        terminal.see(re.escape("[]"))
        terminal.prompt(2)
        terminal.enter("printwatches off")
        terminal.enter("get -w /watched")
        terminal.prompt(4)
        other.set("/watched", b"3")
        terminal.enter("get /watched")
        terminal.prompt(5)
        assert terminal.text.count("NodeDataChanged") == 1, terminal.text


def ctrl_c_ctrl_d_and_another_width(server):
    with Terminal(server) as terminal:
        terminal.prompt(0)
        terminal.type("delete /nothing-of-that")
        terminal.see("nothing-of-that")
        terminal.type("\x03")
        terminal.prompt(0)
        terminal.enter("create -e /ephemeral " + "x" * 100)
        terminal.prompt(1)
        terminal.resize(24, 30)
        terminal.enter("get /ephemeral")
        terminal.see("x" * 20)
        terminal.prompt(2)
        terminal.resize(50, 200)
        # While a command waits, Ctrl-C is a signal.
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            terminal.enter("ls /")
            terminal.wait_cooked()
            terminal.type("\x03")
            terminal.see("Interrupted")
            terminal.prompt(3)
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        terminal.enter("ls /")
        terminal.see("ephemeral, zookeeper")
        terminal.prompt(4)
        terminal.type("\x04")
        assert terminal.ends() == 0
    assert not wire.Client(server.port).exists("/ephemeral"), "the session ended in order"


def nothing_hostile_reaches_the_terminal(server):
    other = wire.Client(server.port)
    other.create("/data", b"\x1b]0;owned\x07\x9b2J\rover\xff")
    other.create("/evil", b"")
    other.create("/evil/name\x7f\u202e", b"")
    with Terminal(server) as terminal:
        terminal.prompt(0)
        terminal.enter("get /data")
        terminal.see(re.escape("\\x1b]0;owned\\x07"))
        terminal.prompt(1)
        terminal.enter("ls /evil")
        terminal.see(re.escape("[name\\x7f\\u{202e}]"))
        terminal.enter("ls -R /evil")
        terminal.see(re.escape("/evil/name\\x7f\\u{202e}"))
        terminal.prompt(3)
        # Not by completion either.
        terminal.type("ls /evil/\t\t\x03")
        terminal.prompt(3)
    for bad in (b"\x1b]0;", b"\x07", b"\x9b2J", "\u202e".encode()):
        assert bad not in terminal.raw.replace(b"\xc2\x9b", b""), bad


def a_plain_terminal(server):
    with Terminal(server, TERM="dumb") as terminal:
        terminal.prompt(0)
        terminal.enter("create /plain 1")
        terminal.see("Created /plain")
        terminal.prompt(1)
        assert b"\x1b" not in terminal.raw, terminal.raw
        terminal.enter("quit")
        assert terminal.ends() == 0


def passwords_stay_out_of_the_history(server):
    with Terminal(server) as terminal:
        terminal.prompt(0)
        terminal.enter("addauth digest ann:secret")
        terminal.enter("create /kept 1")
        terminal.prompt(2)
        terminal.enter("quit")
        terminal.ends()
        kept = terminal.history.read_text()
        assert "create /kept 1" in kept and "secret" not in kept, kept
        assert terminal.history.stat().st_mode & 0o077 == 0


def a_server_that_comes_back(server):
    """The session, its ephemerals, watches and identities are kept."""
    with Terminal(server, "-timeout", "20000") as terminal:
        terminal.prompt(0)
        terminal.enter("addauth digest ann:secret")
        terminal.enter("create -e /mine 1 auth::cdrwa")
        terminal.see("Created /mine")
        terminal.enter("create /watched 1")
        terminal.enter("get -w /watched")
        terminal.prompt(4)
        server.kill()
        terminal.see("WatchedEvent state:Disconnected type:None path:null")
        server.start()
        terminal.see("WatchedEvent state:SyncConnected type:None path:null")
        terminal.enter("get /mine")
        terminal.see("dataLength = 1")
        wire.Client(server.port).set("/watched", b"2")
        terminal.see("type:NodeDataChanged path:/watched")
        terminal.enter("close")
        terminal.see(re.escape("(CLOSED)"))
        terminal.enter("get /watched")
        terminal.see("Not connected")
        terminal.enter("connect")
        terminal.enter("get /mine")
        terminal.see("Node does not exist: /mine")


# ---- without a terminal ----


def exit_codes(server):
    nobody = f"127.0.0.1:{peers.free_port()}"
    for words, code, text in (
        (["create", "/a", "1"], 0, "Created /a"),
        (["create", "/a", "1"], 1, "Node already exists: /a"),
        (["get", "/none"], 1, "Node does not exist: /none"),
        (["get", "no-path"], 1, "Path must start with / character"),
        (["set", "/a", "x", "9"], 1, "version No is not valid : /a"),
        (["set", "/a", "x", "nine"], 2, "NumberFormatException"),
        (["get"], 2, "usage: get"),
        (["frobnicate"], 2, "There is no command frobnicate"),
        (["rmr", "/"], 1, "the root cannot be removed"),
        (["addauth", "nonsense", "x"], 3, "AuthFailed"),
        (["setAcl", "/a", "world:anyone:rx"], 1, "Unknown perm type: x"),
        (["-nonsense"], 2, "there is no option -nonsense"),
        (["-timeout", "soon", "ls", "/"], 2, "-timeout"),
        (["-server", nobody, "ls", "/"], 3, "ConnectionLoss for /"),
        (["-server", "no-such-host.invalid:1", "ls", "/"], 3, "ConnectionLoss for /"),
        (["-server", f"{nobody},{server.address}", "ls", "/"], 0, ""),
        (["-server", f"{nobody},{server.address}", "--json", "ls", "/"], 0, ""),
        (["--help"], 0, ""),
    ):
        done = once(server, words)
        assert done.returncode == code and text in done.stderr, (words, done)
    done = once(server, [], "get /none\nget /a\n")
    assert done.returncode == 1 and "dataLength" in done.stderr, done
    done = once(server, [], "get /a\n\n  \nls /\n")
    assert done.returncode == 0, done


def results_for_programs(server):
    other = wire.Client(server.port)
    data = bytes(range(256)) * 3
    other.create("/binary", data)
    for number in range(3000):
        other.create(f"/many-{number}", b"")
    raw = subprocess.run(command(server, "-q", "get", "-b", "/binary"), capture_output=True)
    assert raw.stdout == data and raw.returncode == 0, raw
    shown = once(server, ["--json", "get", "/binary"])
    value = json.loads(shown.stdout)
    assert value["encoding"] == "base64" and value["stat"]["dataLength"] == len(data), value
    error = json.loads(once(server, ["--json", "get", "/none"]).stdout)
    assert (error["error"], error["code"], error["path"]) == ("NoNode", -101, "/none"), error
    names = json.loads(once(server, ["--json", "ls", "/"]).stdout)["children"]
    assert len(names) == 3002, len(names)
    lines = once(server, ["-q", "ls", "-R", "/"]).stdout.splitlines()
    assert lines[:2] == ["/", "/binary"] and len(lines) == 3004, lines[:5]
    words = " ".join(command(server, "-q", "ls", "-R", "/"))
    script = f"{words} | head -1; echo ${{PIPESTATUS[0]}}; {words} >/dev/full; echo $?"
    shell = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert shell.stdout.split() == ["/", "0", "1"], shell
    assert shell.stderr.count("\n") == 1 and "cannot write the output" in shell.stderr, shell
    other.create("/deep", b"")
    for number in range(400):
        other.create(f"/deep/{number}", b"")
        other.create(f"/deep/{number}/below", b"")
    assert once(server, ["-q", "deleteall", "/deep"]).returncode == 0
    assert not other.exists("/deep")


def below_another_root(server):
    other = wire.Client(server.port)
    other.create("/app", b"")
    root = f"{server.address}/app"
    script = "create /x 1\nls /\ncreate -s /n- 1\nget -w /x\nset /x 2\nsetquota -n 5 /x\nlistquota /x\nget /none\n"
    done = subprocess.run(
        command(server, "-server", root), input=script, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert "Created /x\n" in done.stderr and "Created /n-0000000001\n" in done.stderr, done
    assert "[x]" in done.stdout and "type:NodeDataChanged path:/x\n" in done.stdout, done
    assert "Node does not exist: /none" in done.stderr, done
    assert "Output quota for /x count=5,bytes=-1" in done.stdout, done
    assert other.exists("/app/x") and other.exists("/zookeeper/quota/app/x/zookeeper_limits")


def what_later_versions_brought(server):
    script = (
        "addauth digest ann:secret\ncreate -e /mine 1\ncreate /tree 1\ncreate /tree/a 1\ncreate -t 60000 /tree/b 1\n"
        "create -c /box\ncreate -c -e /no\ngetEphemerals\ngetEphemerals /tree\ngetAllChildrenNumber /tree\nwhoami\n"
    )
    done = once(server, ["-q"], script)
    wanted = ["[/mine]", "[]", "2", "Auth scheme: User", "ip: 127.0.0.1", "digest: ann"]
    assert done.stdout.splitlines() == wanted, done
    assert "Created /tree/b\n" in done.stderr and "Created /box\n" in done.stderr, done
    assert "do not go together" in done.stderr and done.returncode == 2, done


def what_a_server_of_3_4_cannot(_):
    with peers.Server("java", peers.temporary_directory("terminal")) as server:
        done = once(server, ["-q"], "addauth digest ann:secret\nwhoami\ncreate -c /box\nls /\n")
        assert done.stdout.splitlines() == [
            "Auth scheme: User", "ip: 127.0.0.1", "digest: ann", "[zookeeper]"
        ], done
        assert "KeeperErrorCode = Unimplemented for /box" in done.stderr and done.returncode == 1, done


def signals_end_the_session_in_order(server):
    other = wire.Client(server.port)
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        process = peers.spawn(command(server), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        process.stdin.write(b"create -e /held 1\n")
        process.stdin.flush()
        peers.wait_until(lambda: other.exists("/held"), LIMIT_S, "the node")
        process.send_signal(number)
        assert process.wait(LIMIT_S) == code, process.returncode
        assert not other.exists("/held"), "the session was closed"


def a_session_that_is_lost(server):
    """Stopped for longer than its timeout: the next command is told so, nothing hangs."""
    session = peers.CommandLine(server.address, ["-timeout", "4000"], client="oxkeeper")
    session.run("create -e /short 1")
    other = wire.Client(server.port)
    session.process.send_signal(signal.SIGSTOP)
    peers.wait_until(lambda: not other.exists("/short"), LIMIT_S, "the end of the session")
    session.process.send_signal(signal.SIGCONT)
    session.until("state:Expired")
    assert session.run("ls /") == ["Not connected"]
    _, code = session.quit()
    assert code == 3, code


class Terminal:
    """`oxkeeper cli` at a pseudo-terminal of its own."""

    def __init__(self, server, *words, **environment):
        self.history = peers.temporary_directory("history") / "history"
        environment = {
            **os.environ, "TERM": "xterm", "OXKEEPER_HISTORY": str(self.history), **environment,
        }
        self.master, slave = pty.openpty()
        self.raw = b""
        self.seen = 0
        self.resize(40, 100)
        self.process = peers.spawn(
            # Ctrl-C goes to whom the terminal belongs.
            ["setsid", "--ctty"] + command(server, *words),
            stdin=slave, stdout=slave, stderr=slave, env=environment,
        )
        self.slave = slave

    @property
    def text(self):
        text = self.raw.decode("utf-8", "replace")
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")

    def type(self, text):
        os.write(self.master, text.encode())

    def enter(self, line):
        self.type(line + "\r")

    def see(self, pattern):
        """Waits for a text behind what was seen last."""
        end = time.monotonic() + LIMIT_S
        while True:
            found = re.search(pattern, self.text[self.seen :])
            if found:
                self.seen += found.end()
                return
            left = end - time.monotonic()
            ready = left > 0 and select.select([self.master], [], [], left)[0]
            if not ready:
                raise AssertionError(f"{pattern!r} does not come after {self.text[self.seen :]!r}")
            try:
                self.raw += os.read(self.master, 65536)
            except OSError:
                raise AssertionError(f"the end came before {pattern!r}: {self.text[self.seen :]!r}") from None

    def prompt(self, number):
        self.see(rf"\[zk: [\d.:]+\(CONNECTED\) {number}\] ")

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait_cooked(self):
        """Until the editor has given the terminal back to the command."""
        def cooked():
            return termios.tcgetattr(self.slave)[3] & termios.ICANON
        peers.wait_until(cooked, LIMIT_S, "the command's turn")

    def ends(self):
        return self.process.wait(LIMIT_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LIMIT_S)
        os.close(self.slave)
        os.close(self.master)


def once(server, words, lines=""):
    return subprocess.run(
        command(server, *words), input=lines, capture_output=True, text=True, timeout=LIMIT_S
    )


def command(server, *words):
    return [peers.oxkeeper_binary(), "cli", "-server", server.address, *words]


CASES = [
    completion_and_history, an_event_while_typing, ctrl_c_ctrl_d_and_another_width,
    nothing_hostile_reaches_the_terminal, a_plain_terminal, passwords_stay_out_of_the_history,
    a_server_that_comes_back, exit_codes, results_for_programs, below_another_root,
    what_later_versions_brought, what_a_server_of_3_4_cannot, signals_end_the_session_in_order,
    a_session_that_is_lost,
]

if __name__ == "__main__":
    sys.exit(main())
