#!/usr/bin/env python3
"""Snapshots written while clients write, and logs replayed upon them.

    snapshots_under_load.py [kinds...]    default: java oxkeeper oxkeeper

Each server gets clients that create, delete, change and close sessions in the
same few nodes as fast as they can, while it writes one snapshot after the other;
large nodes of filling make a snapshot take long enough to be overtaken. Then the
clients rest, a picture is taken, the server is killed, and oxkeeper must come up
with that very picture: 3.4.14's replay sets pzxid and cversion back
(ZOOKEEPER-3125, 3249) and can lose access lists (3306), so only oxkeeper reads.
"""

import random
import sys
import threading

import disk_both_ways
import peers
import wire

LOAD_S = 3.0
CLIENTS = 6
FILLERS = [f"/filler{number}" for number in range(8)]
PLACES = [f"/place{number}" for number in range(5)]


def main():
    kinds = sys.argv[1:] or ["java", "oxkeeper", "oxkeeper"]
    directory = peers.temporary_directory("under-load")
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    left, passed, failed = None, 0, 0
    for number, kind in enumerate(kinds + ["oxkeeper"]):
        server = start(kind, directory)
        if left:
            try:
                disk_both_ways.compare(f"start {number}, {kinds[number - 1]}'s files", left,
                                       disk_both_ways.Picture(server, FILLERS))
                passed += 1
            except (AssertionError, wire.Refused) as error:
                failed += 1
                print(f"FAILED {error}")
        if number < len(kinds):
            if number == 0:
                fill(server)
            writes = load(server, seed + number)
            left = disk_both_ways.Picture(server, FILLERS)
            snapshots = sorted(path.name for path in (directory / "version-2").glob("snapshot.*"))
            print(f"{kind}: {writes} requests, {len(left.nodes)} nodes, {len(snapshots)} snapshots")
            assert len(snapshots) > 2, "too few snapshots to test anything"
        server.kill()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def start(kind, directory):
    # A killed process loses nothing that it has written, synced or not.
    return peers.Server(
        kind, directory, config=["snapCount=400", "forceSync=no", "maxClientCnxns=0"],
        properties=[disk_both_ways.SUPER],
    ).start()


def fill(server):
    client = wire.Client(server.port)
    for path in PLACES:
        client.create(path)
    for path in FILLERS:
        client.create(path)
        for part in range(5):
            client.multi(*(("create", f"{path}/{part}-{n}", b"x" * 50) for n in range(500)))
    client.close()


def load(server, seed):
    """Runs all clients; gives how many requests were answered."""
    ended = threading.Event()
    counts, problems = [], []

    def run(number):
        try:
            counts.append(one_client(server, random.Random(seed * CLIENTS + number), ended))
        except Exception as problem:
            problems.append(problem)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    ended.wait(LOAD_S)
    ended.set()
    for thread in threads:
        thread.join()
    assert not problems, problems
    return sum(counts)


def one_client(server, rng, ended):
    client, count = None, 0
    while not ended.is_set():
        if client is None or rng.random() < 0.01:
            if client:
                client.close()
            client = wire.Client(server.port, 40000)
            client.auth("digest", f"user{rng.randrange(50)}:x".encode())
        try:
            one_request(client, rng)
        except wire.Refused:
            pass
        count += 1
    # Some sessions stay open, and their ephemerals with them.
    client.abandon()
    return count


def one_request(client, rng):
    place = rng.choice(PLACES)
    path = f"{place}/{rng.randrange(30)}"
    what = rng.randrange(8)
    if what <= 1:
        acl = rng.choice([None, [(31, "auth", "")], [(rng.randrange(1, 32), "world", "anyone")]])
        client.create(path, b"x" * rng.randrange(100), acl)
    elif what == 2:
        client.create(f"{path}-e", b"", flags=wire.EPHEMERAL)
    elif what == 3:
        made = client.create(f"{place}/s-", b"", flags=wire.SEQUENTIAL)
        if rng.random() < 0.98:
            client.delete(made)
    elif what == 4:
        client.delete(path)
    elif what == 5:
        client.set(path, b"y" * rng.randrange(100))
    elif what == 6:
        client.set_acl(path, [(31, "auth", ""), (rng.randrange(1, 32), "world", "anyone")])
    else:
        client.multi(
            ("create", f"{path}/below", b""), ("set", place, b"m"), ("delete", f"{path}/below"),
        )


if __name__ == "__main__":
    sys.exit(main())
