#!/usr/bin/env python3
"""Captures what the fuzz targets begin with: the words that Java 3.4.14 servers
and clients exchange, and the files they leave.

    capture_corpus.py       writes tests/fuzz/corpus/<target>/java-* anew

An ensemble of three Java servers and an observer runs with a proxy before each
port. One server comes back by DIFF, one by SNAP, one by TRUNC. A standalone
server then gets each four-letter word, each operation and some nonsense. Only
what differs in its kinds of messages is kept, and nothing longer than a few KiB:
the corpus is for mutation, not for replay.
"""

import hashlib
import pathlib
import shutil
import signal
import socket
import struct
import threading

import peers
import wire

CORPUS = peers.REPOSITORY / "tests/fuzz/corpus"
TICK_MS = 500
LONGEST = 4000
SHORT = 600
MOST_OF_A_TARGET = 16
DIFF, TRUNC, SNAP = 13, 14, 15


def main():
    for old in CORPUS.glob("*/java-*"):
        old.unlink()
    ensemble = Ensemble()
    try:
        live_together(ensemble)
    finally:
        ensemble.kill_all()
    ensemble.keep()
    stand_alone()
    for target in ("zoo_cfg", "properties"):
        keep(target, (peers.REPOSITORY / "conf/zoo_sample.cfg").read_bytes(), "sample")
    total = sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file())
    print(f"{sum(1 for path in CORPUS.rglob('*') if path.is_file())} files, {total // 1024} KiB")


class Proxy:
    """Listens on a port of its own, hands on to another, and remembers both directions of each connection."""

    def __init__(self, target):
        self.target = target
        self.port = peers.free_port()
        self.connections = []
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            caller, _ = self.listener.accept()
            try:
                called = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                caller.close()
                continue
            called.settimeout(None)
            there, back = bytearray(), bytearray()
            self.connections.append((there, back))
            for source, sink, memory in ((caller, called, there), (called, caller, back)):
                threading.Thread(target=self._hand_on, args=(source, sink, memory), daemon=True).start()

    @staticmethod
    def _hand_on(source, sink, memory):
        try:
            while part := source.recv(65536):
                memory += part
                sink.sendall(part)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Ensemble:
    """Servers 1 to 3 and the observer 4, all of Java, each of which reaches the others through proxies."""

    def __init__(self):
        numbers = (1, 2, 3, 4)
        own = {number: (peers.free_port(), peers.free_port()) for number in numbers}
        self.quorum = {number: Proxy(own[number][0]) for number in numbers}
        self.election = {number: Proxy(own[number][1]) for number in numbers}
        self.servers, self.data = {}, {}
        for number in numbers:
            data = self.data[number] = peers.temporary_directory(f"captured-{number}")
            (data / "myid").write_text(str(number))
            lines = ["initLimit=40", "syncLimit=20"] + (["peerType=observer"] if number == 4 else [])
            for other in numbers:
                ports = own[number] if other == number else (
                    self.quorum[other].port, self.election[other].port
                )
                role = ":observer" if other == 4 else ""
                lines.append(f"server.{other}=127.0.0.1:{ports[0]}:{ports[1]}{role}")
            self.servers[number] = peers.Server(
                "java", data, TICK_MS, lines, properties=["zookeeper.snapCount=200"]
            )

    def start(self, *numbers):
        for number in numbers:
            self.servers[number].start(wait=False)
        for number in numbers:
            self.servers[number].wait_serving()

    def client(self, number):
        def attempt():
            try:
                return wire.Client(self.servers[number].port)
            except OSError:
                return None

        return peers.wait_until(attempt, 60, f"a session with {number}")

    def kill_all(self):
        for server in self.servers.values():
            server.kill()

    def keep(self):
        for proxy in self.quorum.values():
            for there, back in proxy.connections:
                keep_quorum(bytes(there), bytes(back))
        for proxy in self.election.values():
            for there, back in proxy.connections:
                keep("greeting", bytes(there[:8]))
                keep_messages(bytes(there[8:]))
                keep_messages(bytes(back))
        for number, data in self.data.items():
            keep_files(data / "version-2")
            if number in (1, 4):
                keep("zoo_cfg", self.servers[number].config_path.read_bytes(), f"member-{number}")


def live_together(ensemble):
    ensemble.start(1, 2, 3, 4)
    through_each(ensemble)
    # It comes back by a difference.
    ensemble.servers[1].kill()
    client = ensemble.client(2)
    for number in range(5):
        client.create(f"/diff-{number}", bytes(number))
    client.close()
    ensemble.start(1)
    # It has lost all of its disk, and the others what they remembered: it comes back by a snapshot.
    client = ensemble.client(2)
    for number in range(260):
        client.set("/of-1", bytes(number % 7))
    client.close()
    ensemble.kill_all()
    for leftover in (ensemble.data[1] / "version-2").iterdir():
        leftover.unlink()
    ensemble.start(2, 3)
    ensemble.start(1, 4)
    be_cut(ensemble)


def through_each(ensemble):
    """Requests through followers, leader and observer; sessions that move."""
    for number in (1, 2, 3, 4):
        client = ensemble.client(number)
        client.auth("digest", b"user:secret")
        client.create(f"/of-{number}", b"data", [(31, "auth", "")])
        client.create(f"/of-{number}/n-", flags=wire.SEQUENTIAL)
        client.create(f"/eph-{number}", flags=wire.EPHEMERAL)
        client.multi(("create", f"/of-{number}/m", b"x"), ("check", f"/of-{number}", 0))
        client.multi(("create", f"/of-{number}/r"), ("check", f"/of-{number}", 9))
        client.set_acl(f"/of-{number}", wire.OPEN_ACL + wire.READ_ACL)
        client.sync("/")
        client.delete(f"/of-{number}/m")
        client.abandon()
        client = wire.Client(ensemble.servers[number % 4 + 1].port, session=client.session)
        client.ping()
        client.set(f"/of-{number}", b"moved")
        client.close()


def be_cut(ensemble):
    """Server 3 leads, logs what nobody else has, dies, and comes back to be cut."""
    ensemble.kill_all()
    ensemble.start(1, 2, 3)
    leader = next(n for n in (1, 2, 3) if "leader" in ensemble.servers[n].word("srvr"))
    others = [number for number in (1, 2, 3) if number != leader]
    client = ensemble.client(leader)
    for number in others:
        ensemble.servers[number].process.send_signal(signal.SIGSTOP)
    threading.Thread(target=write_in_vain, args=(client,), daemon=True).start()
    logs = ensemble.data[leader] / "version-2"
    peers.wait_until(
        lambda: any(b"/alone" in path.read_bytes() for path in logs.glob("log.*")), 30, "the log"
    )
    ensemble.servers[leader].kill()
    for number in others:
        ensemble.servers[number].kill()
    ensemble.start(*others)
    client = ensemble.client(others[0])
    client.create("/later")
    client.close()
    ensemble.start(leader)


def write_in_vain(client):
    try:
        client.create("/alone")
    except (OSError, wire.Refused, AssertionError):
        pass


def stand_alone():
    """Client connections: sessions of each kind, and words."""
    with peers.Server("java", peers.temporary_directory("captured"), TICK_MS) as server:
        for client in (every_operation, quotas, old_friend, mistakes):
            proxy = Proxy(server.port)
            client(proxy.port)
            for there, _ in proxy.connections:
                keep("client", bytes(there))
                keep_frames(bytes(there))
        keep_files(server.data_dir / "version-2")
    for word in ("conf cons crst dump envi gtmk isro mntr ruok srst srvr stat wchc wchp wchs").split():
        keep("client", word.encode(), word)
    keep("client", b"stmk" + struct.pack(">q", 0x102), "stmk")


def every_operation(port):
    client = wire.Client(port)
    client.auth("digest", b"user:secret")
    client.create("/a", b"data")
    client.create("/a/s-", flags=wire.SEQUENTIAL)
    client.create("/a/e", flags=wire.EPHEMERAL)
    client.create("/mine", b"x", [(31, "auth", ""), (1, "world", "anyone"), (3, "ip", "10.0.0.1")])
    for watch in (False, True):
        client.exists("/a", watch)
        client.exists("/b", watch)
        client.get("/a", watch)
        client.children("/a", watch)
        client._call(12, wire._string("/a") + wire._boolean(watch), "children2")
    client.set("/a", b"more", 0)
    client.set("/a", None)
    client.delete("/a/e")
    client.get_acl("/mine")
    client.set_acl("/a", wire.READ_ACL + [(31, "digest", "user:0123")])
    client.sync("/a")
    client.ping()
    client.multi(("create", "/m"), ("set", "/m", b"1", 0), ("check", "/m", 1), ("delete", "/m", 1))
    client.multi(("create", "/m"), ("check", "/m", 7))
    client.multi()
    watches = struct.pack(">q", 3) + b"".join(
        struct.pack(">i", len(paths)) + b"".join(map(wire._string, paths))
        for paths in (["/a", "/gone"], ["/b"], ["/a"])
    )
    client._send(struct.pack(">ii", -8, 101) + watches)
    client._reply(-8, "setWatches")
    client.close()


def quotas(port):
    client = wire.Client(port)
    client.create("/q", b"12345")
    for path, data in (
        ("/zookeeper/quota/q", b""),
        ("/zookeeper/quota/q/zookeeper_limits", b"count=2,bytes=10"),
        ("/zookeeper/quota/q/zookeeper_stats", b"count=1,bytes=5"),
    ):
        client.create(path, data)
    client.create("/q/a", b"123456789")
    client.set("/q/a", b"1")
    client.delete("/q/a")
    client.close()


def old_friend(port):
    """A renewal, and a handshake without the last byte."""
    client = wire.Client(port)
    client.abandon()
    client = wire.Client(port, session=client.session)
    client.create("/old")
    client.abandon()
    with socket.create_connection(("127.0.0.1", port)) as old:
        hello = struct.pack(">iqiq", 0, 0, 10000, 0) + wire._buffer(bytes(16))
        old.sendall(struct.pack(">i", len(hello)) + hello)
        old.recv(100)


def mistakes(port):
    """Requests that are refused, one after the other."""
    client = wire.Client(port)
    for operation, body in (
        (1, wire._create("/none/a")),
        (1, wire._create("no path")),
        (1, wire._create("/a", flags=9)),
        (1, wire._create("/x", acl=[])),
        (1, wire._create("/x", acl=[(31, "digest", "no colon")])),
        (2, wire._string("/zookeeper") + wire._integer(-1)),
        (5, wire._string("/none") + wire._buffer(b"") + wire._integer(-1)),
        (13, wire._string("/a") + wire._integer(5)),
        (4, wire._string("/none") + wire._boolean(False)),
        (99, b""),
    ):
        try:
            client._call(operation, body, "a mistake")
        except (wire.Refused, OSError):
            pass


def keep_quorum(there, back):
    """A learner's packets, the leader's, and the tree behind SNAP apart."""
    keep("leader", there[:LONGEST], kinds_of(there))
    keep("packet", there[:SHORT], kinds_of(there[:SHORT]))
    at = tree_begins(back)
    if at is None:
        keep("learner", back[:LONGEST], kinds_of(back))
        keep("packet", back[:SHORT], kinds_of(back[:SHORT]))
        return
    end = back.find(b"BenWasHere", at)
    if end >= 0:
        end += len(b"BenWasHere")
        keep("tree_stream", back[at:end])
        keep("tree", back[at : end - 14])
        keep("learner", (back[:at] + back[end:])[:LONGEST], kinds_of(back[:at]) + kinds_of(back[end:]))


def packets(stream):
    """(type, where it ends) of each packet, as far as the stream goes."""
    reader = wire.Reader(stream)
    try:
        while reader.at < len(stream):
            kind = reader.integer()
            reader.long()
            reader.buffer()
            for _ in range(max(reader.integer(), 0)):
                reader.buffer()
                reader.buffer()
            if reader.at > len(stream):
                return
            yield kind, reader.at
            if kind == SNAP:
                return
    except struct.error:
        return


def kinds_of(stream):
    """The kinds of the packets that are kept, in order: two streams with the same tell the fuzzer the same."""
    kinds = []
    for kind, end in packets(stream[:LONGEST]):
        if kinds[-1:] != [kind]:
            kinds.append(kind)
    return "-".join(map(str, kinds))


def tree_begins(stream):
    return next((end for kind, end in packets(stream) if kind == SNAP), None)


def keep_messages(stream):
    at = 0
    while len(stream) >= at + 4:
        (length,) = struct.unpack_from(">i", stream, at)
        message = stream[at + 4 : at + 4 + length]
        if len(message) == length:
            keep("notification", message, str(message[:4].hex()) + str(message[11]))
        at += 4 + length
    keep("election", b"".join(bytes([n % 4]) + stream[n * 44 + 4 : n * 44 + 44] for n in range(at // 44))[:1640])


def keep_files(directory):
    for path in sorted(directory.glob("log.*")):
        content = path.read_bytes().rstrip(b"\0") + bytes(64)
        keep_txns(content)
        if len(content) <= LONGEST:
            keep("log", content)
    for path in sorted(directory.glob("snapshot.*")):
        if path.stat().st_size <= LONGEST:
            keep("snapshot", path.read_bytes())
            keep("tree", path.read_bytes()[16:-13])
    epochs = [directory / name for name in ("currentEpoch", "acceptedEpoch")]
    if all(path.exists() for path in epochs):
        keep("epochs", b"\0".join(path.read_bytes() for path in epochs))


def keep_frames(stream):
    """What follows the handshake, together and each record alone."""
    frames = []
    at = 0
    while len(stream) >= at + 4:
        end = at + 4 + int.from_bytes(stream[at : at + 4], "big")
        frames.append(stream[at + 4 : end])
        at = end
    if frames:
        keep("records", frames[0], "handshake")
        keep("requests", stream[4 + len(frames[0]) :])
    for frame in frames[1:]:
        keep("records", frame[8:], frame[4:8])


def keep_txns(log):
    """One transaction of each type."""
    at = 16
    while len(log) >= at + 12 and (length := int.from_bytes(log[at + 8 : at + 12], "big")) > 32:
        record = log[at + 12 : at + 12 + length]
        keep("txn", record, record[28:32])
        at += 12 + length + 1


def keep(target, content, kind=None):
    """Writes one input, unless the target has one of this kind, or enough of them."""
    seen = _kept.setdefault(target, set())
    kind = hashlib.sha1(content).hexdigest()[:8] if kind is None else kind
    if not content or kind in seen or len(seen) >= MOST_OF_A_TARGET and target != "client":
        return
    seen.add(kind)
    directory = CORPUS / target
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"java-{len(seen):02}").write_bytes(content)


_kept = {}

if __name__ == "__main__":
    main()
