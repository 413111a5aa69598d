#!/usr/bin/env python3
"""SIGKILL at any moment under load: no acknowledged write is lost.

    kill_under_load.py [kind [rounds [seed]]]     default: oxkeeper 50

In each round clients write as fast as they can and remember what was answered;
at a random moment the server is killed. After its start all that was answered
must be there, and nothing that was not sent. Logs roll and snapshots are written
all the time, so kills hit those too.
"""

import random
import sys
import threading

import peers
import wire

CLIENTS = 6


def main():
    kind = sys.argv[1] if len(sys.argv) > 1 else "oxkeeper"
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    server = peers.Server(
        kind, peers.temporary_directory("killed"), config=["snapCount=300", "maxClientCnxns=0"]
    ).start()
    passed = failed = answered = 0
    writers = [Writer(number) for number in range(CLIENTS)]
    for number in range(rounds):
        threads = [threading.Thread(target=writer.write, args=(server,)) for writer in writers]
        for thread in threads:
            thread.start()
        threading.Event().wait(rng.uniform(0.02, 0.5))
        server.kill()
        for thread in threads:
            thread.join()
        try:
            server.start()
            client = wire.Client(server.port)
            for writer in writers:
                writer.check(client)
            client.close()
            passed += 1
        except (AssertionError, OSError, wire.Refused) as problem:
            failed += 1
            print(f"FAILED round {number}: {problem}")
            if server.process.poll() is not None:
                break
        answered += sum(writer.answered for writer in writers)
    server.kill()
    print(f"{answered} writes were answered before {rounds} kills")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


class Writer:
    """One client: what it sent, and what of that was answered."""

    def __init__(self, number):
        self.base = f"/writer{number}"
        self.next = 0
        self.there = set()    # surely there: created, not asked to be deleted
        self.unsure = set()   # asked for without an answer, either way
        self.pair = set()     # created by the last multi
        self.value = (0, 0)   # of the base node: answered, sent
        self.answered = 0

    def write(self, server):
        """Until the server is gone."""
        self.answered = 0
        try:
            client = wire.Client(server.port)
            if client.exists(self.base) is None:
                client.create(self.base, b"0")
            while True:
                self._one_round(client)
        except (OSError, ConnectionError):
            return

    def _one_round(self, client):
        names = [f"n{self.next + step}" for step in range(4)]
        self.next += 4
        for name in names[:2]:
            self.unsure.add(name)
            client.create(f"{self.base}/{name}", name.encode())
            self._sure(name)
        self.pair = set(names[2:])
        self.unsure |= self.pair
        client.multi(*(("create", f"{self.base}/{name}", b"m") for name in names[2:]))
        for name in names[2:]:
            self._sure(name)
        self.value = (self.value[0], self.value[1] + 1)
        client.set(self.base, str(self.value[1]).encode())
        self.value = (self.value[1], self.value[1])
        self.answered += 1
        if len(self.there) > 40:
            gone = self.there.pop()
            self.unsure.add(gone)
            client.delete(f"{self.base}/{gone}")
            self.unsure.remove(gone)
            self.answered += 1

    def _sure(self, name):
        self.unsure.remove(name)
        self.there.add(name)
        self.answered += 1

    def check(self, client):
        if client.exists(self.base) is None:
            assert not self.there, f"{self.base} is lost with {len(self.there)} nodes"
            return
        found = set(client.children(self.base))
        lost = self.there - found
        assert not lost, f"{self.base}: answered, but lost: {sorted(lost)}"
        more = found - self.there - self.unsure
        assert not more, f"{self.base}: never sent, or deleted before: {sorted(more)}"
        data, _ = client.get(self.base)
        assert self.value[0] <= int(data) <= self.value[1], (
            f"{self.base} holds {data}, answered {self.value[0]}, sent {self.value[1]}"
        )
        half = len(self.pair & found) == 1 and self.pair <= self.unsure
        assert not half, f"{self.base}: half a multi is there: {sorted(self.pair & found)}"
        self.there |= found & self.unsure
        self.unsure = set()
        self.value = (int(data), int(data))


if __name__ == "__main__":
    sys.exit(main())
