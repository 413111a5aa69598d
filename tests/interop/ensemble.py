#!/usr/bin/env python3
"""Java 3.4.14 and oxkeeper in one ensemble, each in each role beside the other.

    ensemble.py [part...]        parts: roles sync replace; default: all

roles    who leads, who follows and who observes, in all mixtures that differ;
         writes through each server, sequential names, ephemerals, a session
         that moves from one kind to the other
sync     a follower of either kind comes back to a leader of the other by DIFF,
         by SNAP, and by TRUNC of what it had logged alone
replace  three Java servers become three of ours one at a time, and go back the
         same way, under a steady load of writes, sequential names and ephemerals
         from three clients that keep their sessions

At each step the trees of all servers are compared, node by node.
"""

import itertools
import sys
import threading
import time

import peers
import wire

TICK_MS = 500


def main(parts):
    """Runs the parts that the command line names, or these."""
    parts = sys.argv[1:] or parts
    passed = failed = 0
    for part in parts:
        for name, test in PARTS[part]:
            try:
                test()
                passed += 1
                print(f"ok {part}: {name}", flush=True)
            except (AssertionError, OSError, wire.Refused) as problem:
                failed += 1
                print(f"FAILED {part}: {name}: {str(problem)[:400]}", flush=True)
                for node in Ensemble.last.nodes.values():
                    print(f"--- {node.kind} {node.number}\n{node.server.log_tail(12)}")
            finally:
                Ensemble.last.kill_all()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


class Node:
    """A place in the ensemble, taken by a server of one kind."""

    def __init__(self, number, kind, data, config):
        self.number, self.data, self.config = number, data, config
        self.port = peers.free_port()
        self.take(kind)

    def take(self, kind):
        self.kind = kind
        self.server = peers.Server(kind, self.data, TICK_MS, self.config, port=self.port)

    @property
    def runs(self):
        return self.server.process is not None

    def mode(self):
        try:
            words = self.server.word("srvr").split("Mode: ")
        except OSError:
            return None
        return words[1].split()[0] if len(words) > 1 else None

    def log_of_this_life(self):
        return self.server.log_text()[self.life:]

    def start(self, wait=True):
        self.life = len(self.server.log_text())
        self.server.start(wait=False)
        if wait:
            self.server.wait_serving()

    def client(self, **options):
        """A session, as soon as the server gives one."""

        def attempt():
            try:
                return wire.Client(self.port, **options)
            except OSError:
                return None

        return peers.wait_until(attempt, 60, f"a session with {self.kind} {self.number}")


class Ensemble:
    """Servers 1 to n of the given kinds; "observer" behind a kind means that it does not vote."""

    last = None

    def __init__(self, *kinds):
        Ensemble.last = self
        roles = [kind.split() for kind in kinds]
        lines = [
            f"server.{number}=127.0.0.1:{peers.free_port()}:{peers.free_port()}"
            + (":observer" if "observer" in role else "")
            for number, role in enumerate(roles, 1)
        ]
        self.nodes = {}
        for number, role in enumerate(roles, 1):
            data = peers.temporary_directory(f"member-{number}")
            (data / "myid").write_text(str(number))
            config = ["initLimit=40", "syncLimit=20", "maxSessionTimeout=60000"] + lines
            if "observer" in role:
                config.append("peerType=observer")
            self.nodes[number] = Node(number, role[0], data, config)
        self.voters = [number for number, role in enumerate(roles, 1) if "observer" not in role]

    def start(self, leader):
        """Starts all such that this one leads: with one other first, then the rest."""
        first = [leader] + [number for number in self.voters if number < leader][: len(self.voters) // 2]
        for number in first:
            self.nodes[number].start(wait=False)
        for number in first:
            self.nodes[number].server.wait_serving()
        for number, node in self.nodes.items():
            if number not in first:
                node.start()
        assert self.nodes[leader].mode() == "leader", f"{leader} does not lead"
        return self

    def running(self):
        return [node for node in self.nodes.values() if node.runs]

    def leader(self):
        def find():
            return next((node for node in self.running() if node.mode() == "leader"), None)

        return peers.wait_until(find, 60, "a leader")

    def same_trees(self, besides=None):
        """Compares what all servers show, but for what is below one path; gives it."""
        trees = {}
        for node in self.running():
            client = node.client()
            client.sync("/")
            shown = dict(walk(client, "/"))
            trees[node.number] = {path: node for path, node in shown.items() if not besides or not path.startswith(besides)}
            client.close()
        first, *others = trees.items()
        for number, tree in others:
            for path in first[1].keys() | tree.keys():
                here, there = tree.get(path), first[1].get(path)
                assert here == there, f"{path}: {here} on {number}, {there} on {first[0]}"
        return first[1]

    def all_have_logged(self):
        """Waits until each server's log holds a write: a Java server that dies between
        making a log and writing its header cannot start again (FileHeader meets EOF)."""
        for node in self.running():
            client = node.client()
            client.create(f"/logged-by-{node.number}")
            client.close()
            logs = (node.data / "version-2").glob("log.*")
            newest = max(logs, key=lambda path: int(path.suffix[1:], 16))
            peers.wait_until(lambda: b"/logged-by" in newest.read_bytes(), 30, f"{newest}")

    def kill_all(self):
        for node in self.running():
            node.server.kill()


def walk(client, path):
    data, stat = client.get(path)
    yield path, (data, client.get_acl(path), stat)
    for name in client.children(path):
        yield from walk(client, path.rstrip("/") + "/" + name)


def try_roles(leader, *kinds):
    """Every server takes writes, and sessions move from each to each."""
    ensemble = Ensemble(*kinds).start(leader)
    ensemble.nodes[leader].client().create("/seq")
    for count, node in enumerate(ensemble.nodes.values()):
        client = node.client()
        assert client.session_id >> 56 == node.number, hex(client.session_id)
        client.create(f"/of-{node.number}", b"data")
        made = client.create("/seq/n-", flags=wire.SEQUENTIAL)
        assert made == f"/seq/n-{count:010d}", made
        client.set(f"/of-{node.number}", b"more")
        codes = client.multi(("create", f"/of-{node.number}/a"), ("check", "/of-1", 1))
        assert codes == [0, 0], codes
        codes = client.multi(("create", f"/of-{node.number}/b"), ("check", "/of-1", 9))
        assert codes[1] == -103, codes
        client.create(f"/eph-{node.number}", flags=wire.EPHEMERAL)
        try:
            client.create("/of-1")
            raise AssertionError("a node was made twice")
        except wire.Refused as refused:
            assert refused.code == -110, refused
        for other in ensemble.nodes.values():
            client.abandon()
            client = wire.Client(other.port, session=client.session, last_zxid=0)
            assert client.timeout_ms, f"no renewal on {other.kind} {other.number}"
            client.create(f"/moved-{node.number}-{other.number}")
        assert client.exists(f"/eph-{node.number}")
        ensemble.same_trees()
        client.close()
    tree = ensemble.same_trees()
    assert not any(path.startswith("/eph-") for path in tree), sorted(tree)
    return ensemble


def come_back(follower, leader):
    """A follower of one kind comes back to a leader of the other, in all three ways."""
    ensemble = Ensemble(follower, leader, leader).start(3)
    away = ensemble.nodes[1]
    client = ensemble.nodes[3].client()
    ensemble.all_have_logged()
    for count, words in ((20, "Getting a diff from the leader"), (600, "Getting a snapshot from leader")):
        away.server.kill()
        client.create(f"/round-{count}")
        for number in range(count):
            client.create(f"/round-{count}/{number}", bytes(number))
        away.start()
        assert words in away.log_of_this_life(), words
        ensemble.same_trees()
    client.close()
    return ensemble


def be_cut(former, others):
    """A leader of one kind logs what nobody else has, dies, and comes back to a leader of the other."""
    ensemble = Ensemble(others, others, former).start(3)
    node = ensemble.nodes[3]
    client = node.client()
    client.create("/known")
    ensemble.all_have_logged()
    for number in (1, 2):
        peers.stop_process(ensemble.nodes[number].server.process)
    threading.Thread(target=write_in_vain, args=(client, "/alone"), daemon=True).start()
    version_dir = node.data / "version-2"
    peers.wait_until(
        lambda: any(b"/alone" in path.read_bytes() for path in version_dir.glob("log.*")), 30, "the log"
    )
    node.server.kill()
    # What the leader has sent waits in the sockets of the others: they must not hear it.
    for number in (1, 2):
        ensemble.nodes[number].server.kill()
    for number in (1, 2):
        ensemble.nodes[number].start(wait=False)
    leader = ensemble.leader()
    client = leader.client()
    client.create("/later")
    client.close()
    node.start()
    words = "Truncating log to get in sync with the leader"
    assert words in node.log_of_this_life(), words
    tree = ensemble.same_trees()
    assert "/known" in tree and "/later" in tree and "/alone" not in tree, sorted(tree)
    return ensemble


def write_in_vain(client, path):
    try:
        client.create(path)
    except (OSError, wire.Refused, AssertionError):
        pass


class Load(threading.Thread):
    """A client that writes with one session, wherever a server is: plain nodes,
    sequential ones, and ephemerals, of which it holds one at a time."""

    def __init__(self, ensemble, name="a"):
        super().__init__(daemon=True)
        self.ensemble, self.name_of_mine = ensemble, name
        self.done, self.sequence, self.held = [], [], None
        self.session, self.renewals, self.lost_sessions = None, 0, 0
        self.stopped, self.may_go, self.rests = (threading.Event() for _ in range(3))
        self.may_go.set()
        self.longest_pause_s = 0

    def run(self):
        client, last = None, time.monotonic()
        for number in itertools.count():
            if not self.may_go.is_set():
                self.rests.set()
                self.may_go.wait()
                self.rests.clear()
                last = time.monotonic()
            if self.stopped.is_set():
                return
            try:
                client = client or self.connect()
                self.write(client, number)
                now = time.monotonic()
                self.longest_pause_s, last = max(self.longest_pause_s, now - last), now
            except (OSError, wire.Refused, AssertionError):
                client = None
            # A steady load, which leaves something to the servers.
            time.sleep(0.02)

    def write(self, client, number):
        path = f"/load-{self.name_of_mine}-{number}"
        if number % 3 == 0:
            self.done.append(client.create(path, path.encode()))
        elif number % 3 == 1:
            made = client.create("/seq-", flags=wire.SEQUENTIAL)
            self.done.append(made)
            self.sequence.append(made)
        else:
            former, self.held = self.held, None
            if former:
                client.delete(former)
            self.held = client.create(path, flags=wire.EPHEMERAL)

    def connect(self):
        node = list(self.ensemble.nodes.values())[self.renewals % len(self.ensemble.nodes)]
        self.renewals += 1
        client = wire.Client(node.port, session=self.session)
        if not client.timeout_ms:
            self.lost_sessions += 1
            self.session = None
            raise ConnectionError("the session is over")
        self.session = client.session
        return client

    def wait_for_more(self, count):
        wanted = len(self.done) + count
        peers.wait_until(lambda: len(self.done) >= wanted, 60, f"{count} more writes")

    def check(self, tree):
        """What was acknowledged is there, each name of the sequence was given once
        and later than the one before, and the session has its ephemeral."""
        lost = [path for path in self.done if path not in tree]
        assert not lost, f"{len(lost)} of {len(self.done)} acknowledged writes are lost: {lost[:5]}"
        assert self.sequence == sorted(set(self.sequence)), "the sequence goes back"
        assert not self.lost_sessions, f"{self.lost_sessions} sessions were lost"
        if self.held:
            assert self.held in tree, f"{self.held} is gone although its session lives"
            owner = tree[self.held][2].ephemeral_owner
            assert owner == self.session[0], f"{self.held} belongs to {owner:#x}"


def compare_at_rest(ensemble, loads):
    """Lets all clients rest for a moment, and compares the trees."""
    for load in loads:
        load.may_go.clear()
    for load in loads:
        assert load.rests.wait(40), "a client does not come to rest"
    tree = ensemble.same_trees()
    for load in loads:
        load.check(tree)
    names = [name for load in loads for name in load.sequence]
    assert len(names) == len(set(names)), "two clients were given one name of the sequence"
    for load in loads:
        load.may_go.set()


def replace_all():
    """Java to ours and back, one server at a time, the trees compared at each step."""
    ensemble = Ensemble("java", "java", "java").start(3)
    loads = [Load(ensemble, name) for name in ("a", "b", "c")]
    for load in loads:
        load.start()
    for kind in ("oxkeeper", "java"):
        for node in ensemble.nodes.values():
            for load in loads:
                load.wait_for_more(20)
            node.server.stop()
            node.take(kind)
            node.start()
            ensemble.leader()
            for load in loads:
                load.wait_for_more(20)
            compare_at_rest(ensemble, loads)
    for load in loads:
        load.stopped.set()
        load.join(40)
    writes, renewals = (sum(part) for part in zip(*((len(load.done), load.renewals) for load in loads)))
    print(f"   {writes} writes, {renewals} connections, {len(loads)} sessions")
    return ensemble


J, O = "java", "oxkeeper"
PARTS = {
    "roles": [
        ("oxkeeper leads two of Java", lambda: try_roles(3, J, J, O)),
        ("Java leads two of ours", lambda: try_roles(3, O, O, J)),
        ("oxkeeper leads, Java follows and observes", lambda: try_roles(3, J, O, O, J + " observer")),
        ("Java leads, oxkeeper follows and observes", lambda: try_roles(3, O, J, J, O + " observer")),
        ("Java leads two of ours and two of Java", lambda: try_roles(5, O, J, O, J, J)),
        ("oxkeeper leads one of ours and three of Java", lambda: try_roles(5, J, O, J, J, O)),
    ],
    "sync": [
        ("ours comes back to Java", lambda: come_back(O, J)),
        ("Java comes back to ours", lambda: come_back(J, O)),
        ("Java cuts ours", lambda: be_cut(O, J)),
        ("ours cuts Java", lambda: be_cut(J, O)),
    ],
    "replace": [("Java to ours and back", replace_all)],
}

if __name__ == "__main__":
    sys.exit(main(list(PARTS)))
