"""What stands in the table, and what measures it."""

import crowd
import events
import loads
import million


class Row:
    """One line of the table: a name, a unit, whether more is better, and what it should come to."""

    def __init__(self, section, key, text, unit, more_is_better=False, aim=""):
        self.section, self.key, self.text, self.unit = section, key, text, unit
        self.more_is_better, self.aim = more_is_better, aim


class Probe:
    """What gives the values of some rows, as pairs of key and value, for one ensemble at a time.

    With `servers` 0 it starts servers of its own; `once` means that one round of it is enough.
    """

    def __init__(self, group, servers, rows, measure, once=False):
        self.group, self.servers, self.rows = group, servers, rows
        self.measure, self.once = measure, once


THROUGHPUT, TAILS, ALONE = "Throughput", "Latency under these loads", "Clients that wait for each answer"
CROWDS, EVENTS, MEMORY, CORES = "Sessions and watches", "Start, loss and return", "Memory", "Processor time"
SECTIONS = (THROUGHPUT, TAILS, ALONE, CROWDS, EVENTS, MEMORY, CORES)

MIXES = (("reads", 100), ("90% reads", 90), ("writes", 0))
AIMS = {(100, 1): "8 x", (0, 1): "5 x", (90, 1): "7 x", (100, 3): "6 x", (0, 3): "5 x", (90, 3): "5 x"}


def probes(run):
    for servers in (1, 3):
        for name, share in MIXES:
            yield pipelined(name, share, servers)
        for count in (1, 10, 20):
            for name, share in MIXES[::2]:
                yield waiting(count, name, share, servers)
    yield Probe("small", 1, [Row(CROWDS, "sessions", "sessions opened and closed", "/s", True, "5 x")], crowd.sessions)
    yield Probe("small", 1, [Row(CROWDS, "watches", "1,000 watchers of a node: last event, p50", "us", aim="4 x")],
                crowd.watches)
    yield Probe("small", 1, [Row(CROWDS, "expiry", f"{run.crowd:,} sessions expire at once: latest ping of another",
                                 "ms", aim="<= 2,000 ms")], crowd.expiry, once=True)
    yield Probe("small", 0, [Row(EVENTS, "start", "start on an empty directory", "ms", aim="20 x")],
                events.start_empty)
    yield Probe("small", 3, [Row(EVENTS, "failover", "kill -9 of the leader to the next write, 3 servers", "ms",
                                 aim="5 x")], events.failover)
    yield Probe("small", 3, [Row(EVENTS, "rejoin", "return of a killed follower", "ms", aim="5 x")], events.rejoin)
    yield Probe("small", 3, [
        Row(TAILS, "rejoin-tail", "90% reads while a follower is killed and returns: p99.9 / p50", "x", aim="<= 10"),
        Row(TAILS, "rejoin-worst", "the same: worst second, of the mean", "%", True, ">= 50 %"),
    ], events.rejoin_under_load, once=True)
    yield Probe("small", 0, [
        Row(MEMORY, "memory-empty", "resident, empty", "MiB", aim="10 x"),
        Row(MEMORY, "memory-session", "per idle session with its connection", "B", aim="5 x"),
        Row(MEMORY, "memory-watch", f"per watch, {run.watchers} watchers of {run.watched:,} nodes", "B", aim="<= 64 B"),
        Row(MEMORY, "memory-growth", f"growth by {run.requests:,} requests", "MiB", aim="none"),
    ], million.small_memory, once=True)
    nodes = f"{run.nodes:,} nodes"
    yield Probe("million", 0, [
        Row(MEMORY, "memory-loaded", f"resident after loading {nodes} of 100 B", "MiB", aim="8 x"),
        Row(MEMORY, "memory-restart", f"resident after a restart with {nodes}", "MiB", aim="4 x"),
        Row(EVENTS, "start-million", f"start with {nodes}", "ms", aim="10 x"),
        Row(TAILS, "snapshot-worst", f"worst write during a snapshot of {nodes}", "ms", aim="see below"),
        Row(TAILS, "snapshot-tail", "the same: p99.9 / p50", "x", aim="<= 10"),
        Row(EVENTS, "failover-million", f"kill -9 of the leader, {nodes}, 3 servers", "ms", aim="5 x"),
        Row(EVENTS, "rejoin-million", f"return of a killed follower with {nodes}", "ms", aim="5 x"),
    ], million.measure, once=True)


def pipelined(name, share, servers):
    """Many connections, each with many requests under way."""
    key, text = f"{share}-{servers}", f"{name}, {at(servers)}"
    return Probe("small", servers, [
        Row(THROUGHPUT, key, text, "/s", True, AIMS[share, servers]),
        Row(TAILS, f"{key}-p99", f"{text}: p99", "us", aim="10 x"),
        Row(TAILS, f"{key}-p999", f"{text}: p99.9", "us", aim="10 x"),
        Row(TAILS, f"{key}-tail", f"{text}: p99.9 / p50", "x", aim="<= 10"),
        Row(TAILS, f"{key}-worst", f"{text}: worst second, of the mean", "%", True, ">= 50 %"),
        Row(CORES, f"{key}-servers-cores", f"{text}: servers", "cores"),
        Row(CORES, f"{key}-own-cores", f"{text}: `oxkeeper bench`", "cores"),
    ], loads.pipelined(key, share))


def waiting(count, name, share, servers):
    key, text = f"sync-{count}-{share}-{servers}", f"{count} x {name}, {at(servers)}"
    p50 = {(1, 100, 1): "3 x", (1, 0, 1): "see below"}.get((count, share, servers), "1 x")
    return Probe("small", servers, [
        Row(ALONE, key, text, "/s", True, "1 x"),
        Row(ALONE, f"{key}-p50", f"{text}: p50", "us", aim=p50),
        Row(ALONE, f"{key}-p99", f"{text}: p99", "us", aim="1 x"),
        Row(ALONE, f"{key}-p999", f"{text}: p99.9", "us", aim="1 x"),
    ], loads.waiting(key, count, share))


def at(servers):
    return "1 server" if servers == 1 else f"{servers} servers"
