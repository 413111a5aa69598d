#!/usr/bin/env python3
"""The commands of MIGRATION.md, as they stand there, between Java 3.4.14 and oxkeeper and back.

    migration.py [part...]       parts: stopped rolling; default: both

stopped  a standalone server's data, session and ephemeral go over and come back
rolling  an ensemble of three, one member at a time, the leader last, and back;
         each step under a session that must not be lost
"""

import os
import pathlib
import re
import subprocess
import sys

import ensemble
import peers
import wire

# What Java's own zkServer.sh does, with the jars of install.sh.
JAVA_SCRIPT = """#!/usr/bin/env bash
DATA="$(sed -n 's/^dataDir=//p' "$2")"
PID="$DATA/zookeeper_server.pid"
case "$1" in
start)
    # See peers.remove_empty_logs.
    [ ! -d "$DATA/version-2" ] || find "$DATA/version-2" -name 'log.*' -size 0 -delete
    nohup "%(server)s" "$2" >>"$ZOO_LOG_DIR/java.out" 2>&1 </dev/null &
    echo -n $! >"$PID"
    ;;
stop)
    kill -9 "$(cat "$PID")"
    while kill -0 "$(cat "$PID")" 2>/dev/null; do sleep 0.05; done
    rm "$PID"
    ;;
esac
"""


def main():
    parts = sys.argv[1:] or ["stopped", "rolling"]
    passed = failed = 0
    for part in parts:
        member_list = []
        try:
            PARTS[part](member_list)
            passed += 1
            print(f"ok {part}", flush=True)
        except (AssertionError, OSError, wire.Refused) as problem:
            failed += 1
            print(f"FAILED {part}: {str(problem)[:2000]}", flush=True)
        finally:
            for member in member_list:
                member.end()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def blocks():
    """The commands of the guide by their names."""
    text = (peers.REPOSITORY / "MIGRATION.md").read_text()
    return dict(re.findall(r"^```sh (\S+)\n(.*?)^```$", text, re.M | re.S))


class Member:
    """A server's place: its configuration and its data."""

    def __init__(self, number, lines):
        self.number = number
        self.home = peers.temporary_directory("migration")
        self.data = self.home / "data"
        self.data.mkdir()
        (self.data / "myid").write_text(str(number))
        self.port = peers.free_port()
        self.config = self.home / "zoo.cfg"
        self.config.write_text(
            "\n".join(
                [f"dataDir={self.data}", f"clientPort={self.port}", "tickTime=500", "initLimit=40", "syncLimit=20"]
                + ["maxSessionTimeout=60000"]
                + lines
            )
            + "\n"
        )
        java = self.home / "java/bin/zkServer.sh"
        java.parent.mkdir(parents=True)
        java.write_text(JAVA_SCRIPT % {"server": peers.HERE / "java-server.sh"})
        java.chmod(0o755)

    def run(self, name):
        variables = dict(
            os.environ,
            JAVA=str(self.home / "java"),
            OX=str(peers.REPOSITORY),
            CFG=str(self.config),
            DATA=str(self.data),
            LOG=str(self.home / "java.out"),
            ZOO_LOG_DIR=str(self.home),
            OXKEEPER_BIN=peers.oxkeeper_binary(),
        )
        done = subprocess.run(
            ["bash", "-euc", BLOCKS[name]], env=variables, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{name} on {self.number}: {done.stdout}{done.stderr}"
        return done.stdout

    def start_java(self):
        subprocess.run(
            [self.home / "java/bin/zkServer.sh", "start", self.config],
            env=dict(os.environ, ZOO_LOG_DIR=str(self.home)),
            check=True,
        )

    def kind(self):
        pid = int((self.data / "zookeeper_server.pid").read_text())
        return "java" if "java" in pathlib.Path(f"/proc/{pid}/cmdline").read_text() else "oxkeeper"

    def client(self, **options):
        def attempt():
            try:
                return wire.Client(self.port, **options)
            except OSError:
                return None

        return peers.wait_until(attempt, 60, f"a session with {self.number}")

    def end(self):
        try:
            os.kill(int((self.data / "zookeeper_server.pid").read_text()), 9)
        except (OSError, ValueError):
            pass


def stopped(member_list):
    member = Member(1, [])
    member_list.append(member)
    member.start_java()
    client = member.client(timeout_ms=40000)
    client.create("/kept", b"data")
    client.create("/mine", flags=wire.EPHEMERAL)
    for name, kind in (("stopped", "oxkeeper"), ("back-stopped", "java")):
        client.abandon()
        member.run(name)
        assert "standalone" in member.run("check")
        assert member.kind() == kind, name
        client = member.client(session=client.session)
        assert client.timeout_ms, f"{name}: the session is lost"
        assert client.get("/kept")[0] == b"data" and client.exists("/mine")
        client.create(f"/after-{name}")


def rolling(member_list):
    lines = [f"server.{n}=127.0.0.1:{peers.free_port()}:{peers.free_port()}" for n in (1, 2, 3)]
    member_list.extend(Member(n, lines) for n in (1, 2, 3))
    for member in member_list:
        member.start_java()
    client = member_list[0].client(timeout_ms=40000)
    client.create("/kept", b"data")
    client.create("/mine", flags=wire.EPHEMERAL)
    for name, kind in (("rolling", "oxkeeper"), ("back-rolling", "java")):
        peers.wait_until(lambda: roles(member_list).count("leader") == 1, 60, "a leader")
        for member in sorted(member_list, key=lambda member: "leader" in member.run("roles")):
            member.run(name)
            assert member.kind() == kind, name
            client.abandon()
            client = member.client(session=client.session)
            assert client.timeout_ms, f"{name}: the session is lost"
            client.create(f"/{name}-{member.number}")
        for member in member_list:
            other = member.client()
            other.sync("/")
            names = set(other.children("/"))
            other.close()
            wanted = {"kept", "mine"} | {f"{name}-{n}" for n in (1, 2, 3)}
            assert wanted <= names, f"{name}: {wanted - names} is lost on {member.number}"
    told = member_list[0].run("follow")
    assert "Round 1" in told or "Join" in told, told


def roles(member_list):
    modes = (ensemble.Node.mode(Asked(member.port)) for member in member_list)
    return [mode for mode in modes if mode]


class Asked:
    """A port that is asked for its mode."""

    def __init__(self, port):
        self.server = self
        self.port = port

    def word(self, word):
        return peers.four_letter_word(self.port, word)


BLOCKS = blocks()
PARTS = {"stopped": stopped, "rolling": rolling}

if __name__ == "__main__":
    sys.exit(main())
