#!/usr/bin/env python3
"""One data directory, served by Java 3.4.14 and by oxkeeper in turn.

    disk_both_ways.py [kinds...]     default: java oxkeeper

At each hop the server ends (by SIGTERM or SIGKILL), one of the other kind starts
on what it left, and the whole tree is compared node by node: data, every field
of the stat, ACL, children; then the sessions: who owns which ephemerals, and
that a client can take its session over. After that the new server writes more:
creates, deletes, sequences, multis that fail and that do not, ACLs, quotas. The
log rolls and snapshots are taken all the time.
"""

import sys

import peers
import wire

# The password is "test": whoever has it reads every node.
SUPER = "zookeeper.DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU="
TICK_MS = 500
# Longer than all hops, so that a session ends only where the test ends it.
LONG_MS = 120000
# Longer than what is left of its hop and the pictures after, on a slow machine.
SHORT_MS = 10000


def main():
    kinds = sys.argv[1:] or ["java", "oxkeeper"]
    failed = 0
    rounds = [
        (name, order, data_log_apart)
        for name, order, data_log_apart in (
            ("one directory", hops(kinds), False),
            ("log apart", hops(kinds[::-1]), True),
        )
    ]
    for name, order, data_log_apart in rounds:
        try:
            go_round(name, order, data_log_apart)
        except AssertionError as error:
            failed += 1
            print(f"FAILED {name}: {error}")
    print(f"{len(rounds) - failed} passed, {failed} failed")
    return 1 if failed else 0


def hops(kinds):
    """(kind, how it ends) for each hop: each end of each kind, before the other."""
    ends = ["stop", "kill", "kill", "stop", "stop", "kill"]
    return [(kinds[number % len(kinds)], end) for number, end in enumerate(ends)]


def go_round(name, order, data_log_apart):
    directory = peers.temporary_directory("both-ways")
    config = [f"maxSessionTimeout={LONG_MS}", "snapCount=60", "preAllocSize=64"]
    if data_log_apart:
        (directory / "log").mkdir()
        config.append(f"dataLogDir={directory}/log")
    (directory / "data").mkdir()
    left, sessions = None, Sessions()
    for number, (kind, end) in enumerate(order):
        where = f"{name}, hop {number}, {kind}"
        server = peers.Server(
            kind, directory / "data", tick_ms=TICK_MS, config=config, properties=[SUPER]
        ).start()
        if left:
            compare(where, left, Picture(server))
            sessions.live_on(where, server)
        if number == 0:
            sessions.open_short(server)
        Writer(server, number, sessions).write()
        left = Picture(server)
        getattr(server, end)()
        print(f"{where}: {len(left.nodes)} nodes, ended by {end}", flush=True)


class Picture:
    """All that a server holds: nodes, sessions with ephemerals, last zxid. Of the
    nodes in `closed` it does not look at the children."""

    def __init__(self, server, closed=()):
        self.zxid = word_field(server, "Zxid: ")
        self.ephemerals = ephemerals_of(server)
        client = wire.Client(server.port)
        client.auth("digest", b"super:test")
        self.nodes = {}
        waiting = ["/"]
        while waiting:
            path = waiting.pop()
            data, stat = client.get(path)
            acl, _ = client.get_acl(path)
            children = sorted(client.children(path))
            self.nodes[path] = dict(stat._asdict(), data=data, acl=acl, children=children)
            if path not in closed:
                waiting += [path.rstrip("/") + "/" + child for child in children]
        client.close()
        # The two transactions of this very session: its opening and its end.
        self.zxid_after = self.zxid + 2


def compare(where, before, after):
    for path in sorted(set(before.nodes) | set(after.nodes)):
        old, new = before.nodes.get(path), after.nodes.get(path)
        assert old and new, f"{where}: {path} was {bool(old)}, is {bool(new)}"
        for field in old:
            assert old[field] == new[field], (
                f"{where}: {path} {field} was {show(old[field])}, is {show(new[field])}"
            )
    assert before.ephemerals == after.ephemerals, (
        f"{where}: ephemerals were {before.ephemerals}, are {after.ephemerals}"
    )
    assert after.zxid == before.zxid_after, (
        f"{where}: zxid was {before.zxid_after:#x}, is {after.zxid:#x}"
    )


class Sessions:
    """Those that nobody closed when their server ended: ((id, password), ms)."""

    def __init__(self):
        self.kept = []
        self.short = None

    def open_short(self, server):
        """A session that no client will come back to."""
        client = wire.Client(server.port, SHORT_MS)
        client.create("/left-behind", b"", flags=wire.EPHEMERAL)
        self.short = client.session_id
        client.abandon()

    def keep(self, client):
        self.kept.append((client.session, client.timeout_ms))
        client.abandon()

    def live_on(self, where, server):
        """Each kept session can be taken over, with its password alone; the
        oldest is then closed, and its ephemerals go with it. The session left
        behind ends, after a fresh timeout from the start of this server."""
        for session, timeout_ms in self.kept:
            client = wire.Client(server.port, timeout_ms, session)
            assert client.session == session and client.timeout_ms == timeout_ms, (
                f"{where}: session {session[0]:#x} came back as {client.session_id:#x},"
                f" {client.timeout_ms} ms"
            )
            client.abandon()
        (oldest, password), _ = self.kept.pop(0)
        wrong = wire.Client(server.port, LONG_MS, (oldest, bytes(16)))
        assert (wrong.session_id, wrong.timeout_ms) == (0, 0), f"{where}: wrong password accepted"
        if self.short:
            assert self.short in ephemerals_of(server), f"{where}: {self.short:#x} ended too soon"
            self.short = None
        wire.Client(server.port, LONG_MS, (oldest, password)).close()
        left = {session_id for (session_id, _), _ in self.kept}
        peers.wait_until(
            lambda: set(ephemerals_of(server)) == left,
            SHORT_MS / 1000 * 2,
            f"{where}: only the sessions {[hex(one) for one in left]} have ephemerals",
        )


class Writer:
    """What one hop writes; all of it below names of its own number, and some
    into what earlier hops left."""

    def __init__(self, server, number, sessions):
        self.server = server
        self.number = number
        self.sessions = sessions
        self.base = f"/hop{number}"

    def write(self):
        client = wire.Client(self.server.port)
        client.auth("digest", b"ben:secret")
        client.create(self.base, b"base")
        self.plain_nodes(client)
        self.access_lists(client)
        self.quotas(client)
        self.multis(client)
        self.errors(client)
        self.ephemerals()
        self.many_writes(client)
        client.close()

    def plain_nodes(self, client):
        for name, data in (
            ("empty", b""), ("null", None), ("bytes", bytes(range(256))), ("large", b"x" * 300000),
            ("ä-ж-漢", "text ä ж 漢 🂡".encode()),
        ):
            client.create(f"{self.base}/{name}", data)
        path = self.base
        for level in range(12):
            path += f"/level{level}"
            client.create(path, str(level).encode())
        for _ in range(5):
            made = client.create(f"{self.base}/empty/seq-", b"", flags=wire.SEQUENTIAL)
        client.delete(made)
        client.set(f"{self.base}/bytes", b"second")
        client.set(f"{self.base}/bytes", b"third", 1)
        if self.number:
            # The numbers of a sequence go on where the server before left them.
            client.create(f"/hop{self.number - 1}/empty/seq-", b"", flags=wire.SEQUENTIAL)
            client.delete(f"/hop{self.number - 1}/null")
            client.set(f"/hop{self.number - 1}/large", b"now small")

    def access_lists(self, client):
        lists = {
            "read": wire.READ_ACL,
            "digest": [(31, "digest", "ann:+7K83PhyQ3ijGj0ADmljf0quVwQ="), (1, "world", "anyone")],
            "address": [(31, "ip", "127.0.0.1"), (5, "ip", "10.0.0.0")],
            "own": [(31, "auth", "")],
            "twice": wire.READ_ACL * 2 + [(31, "auth", "")],
        }
        for name, acl in lists.items():
            client.create(f"{self.base}/acl-{name}", b"", acl)
        client.set_acl(f"{self.base}/acl-own", [(31, "auth", ""), (1, "world", "anyone")])
        client.set_acl(f"{self.base}/acl-own", [(31, "auth", "")], 1)

    def quotas(self, client):
        ensure(client, f"/zookeeper/quota{self.base}")
        client.create(f"/zookeeper/quota{self.base}/zookeeper_limits", b"count=9,bytes=1000")
        client.create(f"/zookeeper/quota{self.base}/zookeeper_stats", b"count=0,bytes=0")
        client.create(f"{self.base}/counted", b"12345")
        client.set(f"{self.base}/counted", b"1234567")
        if self.number > 1:
            client.delete(f"/zookeeper/quota/hop{self.number - 1}/zookeeper_limits")
            client.delete(f"/zookeeper/quota/hop{self.number - 1}/zookeeper_stats")

    def multis(self, client):
        base = f"{self.base}/multi"
        assert client.multi(
            ("create", base, b"m"),
            ("create", f"{base}/one-", b"1", None, wire.SEQUENTIAL),
            ("create", f"{base}/two", b"2"),
            ("set", base, b"mm", 0),
            ("check", base, 1),
            ("delete", f"{base}/two"),
        ) == [0] * 6
        assert client.multi(
            ("create", f"{base}/three", b"3"), ("delete", f"{base}/none"), ("set", base, b"no"),
        ) == [0, -101, -2]

    def errors(self, client):
        """Each is a transaction of its own in the log."""
        for call in (
            lambda: client.create(self.base),
            lambda: client.delete(self.base),
            lambda: client.set(self.base, b"", 7),
            lambda: client.create(f"{self.base}/none/none"),
            lambda: client.create(f"{self.base}/bad", b"", []),
        ):
            try:
                call()
            except wire.Refused:
                continue
            raise AssertionError(f"{self.base}: a wrong request was accepted")

    def ephemerals(self):
        for timeout_ms in (LONG_MS, LONG_MS // 2):
            client = wire.Client(self.server.port, timeout_ms)
            for name in ("a", "b"):
                client.create(
                    f"{self.base}/eph-{name}-", b"e", flags=wire.EPHEMERAL | wire.SEQUENTIAL
                )
            self.sessions.keep(client)
        ended = wire.Client(self.server.port, LONG_MS)
        ended.create(f"{self.base}/eph-ended", b"", flags=wire.EPHEMERAL)
        ended.close()

    def many_writes(self, client):
        """Enough for several rolls of the log, so that the next start reads a
        snapshot and the logs after it."""
        client.create(f"{self.base}/many")
        for number in range(150):
            client.create(f"{self.base}/many/{number}", str(number).encode() * 20)
            if number % 3 == 0:
                client.set(f"{self.base}/many/{number}", b"changed")
            if number % 5 == 0:
                client.delete(f"{self.base}/many/{number}")


def ensure(client, path):
    whole = ""
    for part in path.strip("/").split("/"):
        whole += "/" + part
        if client.exists(whole) is None:
            client.create(whole)


def ephemerals_of(server):
    """Session id -> sorted paths, from the word `dump`."""
    found, owner = {}, None
    lines = server.word("dump").splitlines()
    for line in lines[next(n for n, line in enumerate(lines) if "Sessions with" in line) + 1 :]:
        if line.startswith("\t"):
            found[owner].append(line.strip())
        elif line.startswith("0x"):
            owner = int(line.rstrip(":"), 16)
            found[owner] = []
    return {owner: sorted(paths) for owner, paths in found.items() if paths}


def word_field(server, name):
    for line in server.word("srvr").splitlines():
        if line.startswith(name):
            return int(line[len(name) :], 0)
    raise AssertionError(f"srvr has no {name}")


def show(value):
    text = repr(value)
    return text if len(text) < 200 else text[:200] + "..."


if __name__ == "__main__":
    sys.exit(main())
