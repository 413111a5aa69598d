"""Memory, and what becomes of the other figures when the tree is large. Each kind has the machine to itself here."""

import os
import shutil
import statistics
import time

import crowd
import events
import loads
from servers import Ensemble, peers


def small_memory(run, ensemble):
    """Each figure of a server of its own, since a JVM gives nothing back."""
    with alone(ensemble.kind) as server:
        yield "memory-empty", server.nodes[0].resident_bytes() / MIB
        yield "memory-session", crowd.bytes_per_session(server.nodes[0], run.idle)
    with alone(ensemble.kind) as server:
        yield "memory-watch", crowd.bytes_per_watch(server.nodes[0], run.watchers, run.watched)
    with alone(ensemble.kind) as server:
        run.bench(server, *loads.PIPELINED, "-n", run.requests // 4)
        before = server.nodes[0].resident_bytes()
        run.bench(server, *loads.PIPELINED, "-n", run.requests)
        yield "memory-growth", (server.nodes[0].resident_bytes() - before) / MIB


def measure(run, ensemble):
    with alone(ensemble.kind) as server:
        node = server.nodes[0]
        run.bench(server, "-m", "fill", "-k", run.nodes, "-b", 100, "-c", 16, "-i", 64)
        yield "memory-loaded", node.resident_bytes() / MIB
        yield from writes_beside_a_snapshot(run, server)
        node.kill()
        took_ms = []
        for _ in range(3):
            took_ms.append(events.start_ms(node))
            resident = node.resident_bytes() / MIB
            node.kill()
        yield "memory-restart", resident
        yield "start-million", statistics.median(took_ms)
        yield from ensemble_of(run, ensemble.kind, node.data)


def writes_beside_a_snapshot(run, server):
    """One client that waits for each answer, while others write as much as it takes for a snapshot to begin: the
    default is one after 50,000 to 100,000 transactions."""
    node = server.nodes[0]
    before = snapshots(node)
    seconds = 2 * BESIDE_WRITES // BESIDE_RATE
    crowd_ = run.bench_beside([node], "--no-setup", "-o", "set", "-b", 100, "-k", run.nodes, "-c", 4, "-i", 256,
                              "-r", BESIDE_RATE, "-t", seconds)
    report = run.bench(server, "--no-setup", "-o", "set", "-b", 100, "-k", run.nodes, "-t", seconds - 1)
    crowd_.report()
    if snapshots(node) == before:
        raise AssertionError(f"no snapshot within {seconds} s")
    yield "snapshot-worst", loads.percentile(report, "max_us") / 1e3
    yield "snapshot-tail", loads.tail(report)


def ensemble_of(run, kind, data):
    """Three servers, each with a copy of the large tree."""
    ensemble = Ensemble(kind, 3, peers.temporary_directory("benchmark"))
    newest = max(data.glob("version-2/snapshot.*"), key=lambda path: int(path.suffix[1:], 16)).name
    older = lambda _, names: [name for name in names if name.startswith("snapshot.") and name != newest]
    for node in ensemble.nodes:
        shutil.copytree(data / "version-2", node.data / "version-2", ignore=older)
    # Or the disk would be busy with the copies while the servers are measured.
    os.sync()
    try:
        ensemble.start()
        times = min(run.options.rounds, 3)
        yield "failover-million", statistics.median([events.failover_ms(ensemble) for _ in range(times)])
        yield "rejoin-million", statistics.median([events.rejoin_ms(ensemble) for _ in range(times)])
    finally:
        ensemble.stop()
        ensemble.remove()


def snapshots(node):
    return {path.name for path in (node.data / "version-2").glob("snapshot.*")}


class alone:
    """One fresh server, for a while."""

    def __init__(self, kind):
        self.server = Ensemble(kind, 1, peers.temporary_directory("benchmark"))

    def __enter__(self):
        self.server.start()
        # What a start leaves to other threads is done then.
        time.sleep(1)
        return self.server

    def __exit__(self, *_):
        self.server.stop()
        self.server.remove()


MIB = 1024 * 1024
BESIDE_RATE, BESIDE_WRITES = 10_000, 100_000
