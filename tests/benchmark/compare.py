#!/usr/bin/env python3
"""oxkeeper beside ZooKeeper 3.4.14: see scripts/benchmark.sh, which calls this."""

import argparse
import json
import pathlib
import subprocess
import sys
import time

import curves
import rows
import table
import yardsticks
from loads import PIPELINED
from servers import OURS, THEIRS, Ensemble, Running, peers

GROUPS = ("small", "million", "curves", "scaling")


class Run:
    """What the operator asked for, how a load is driven, and what has come out so far."""

    def __init__(self, options):
        self.options = options
        self.values, self.failures = {}, {}
        self.yardsticks, self.percentiles, self.shares, self.timelines, self.scaling = {}, {}, {}, {}, []
        small = options.quick
        self.nodes = 20_000 if small else 1_000_000
        self.crowd, self.idle = (200, 500) if small else (1_000, 5_000)
        self.watchers, self.watched = (50, 200) if small else (200, 1_000)
        self.requests = 50_000 if small else 2_000_000

    def bench(self, ensemble, *arguments, seconds=None):
        """Drives an ensemble; any wrong answer is an error."""
        arguments = list(arguments)
        if "-n" not in arguments and "-t" not in arguments and "fill" not in arguments:
            arguments += ["-t", seconds or self.options.seconds, "-w", max(1, self.options.seconds // 3)]
        return self._start(ensemble.kind, ensemble.address, arguments).report()

    def bench_beside(self, nodes, *arguments):
        """The same while this program goes on: `report()` waits for its end."""
        address = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        return self._start(nodes[0].kind, address, list(arguments))

    def _start(self, kind, address, arguments):
        command = [peers.oxkeeper_binary(), "bench", "-s", address, "-j"] + [str(word) for word in arguments]
        pipe = subprocess.PIPE
        return Driven(kind, peers.spawn(command, stdout=pipe, stderr=pipe, text=True))

    def fails(self, keys, kind, error):
        """Says so in the table, and the run goes on."""
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        print(f"FAILED: {', '.join(keys)}, {kind}: {reason}", file=sys.stderr, flush=True)
        for key in keys:
            self.failures.setdefault(key, {})[kind] = reason


class Driven:
    """A load generator at work."""

    def __init__(self, kind, process):
        self.kind, self.process = kind, process

    def report(self, may_lose_connections=False):
        try:
            out, err = self.process.communicate(timeout=900)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self.ended_s = time.monotonic()
        if self.process.returncode:
            raise AssertionError(f"{self.kind}: oxkeeper bench says {err.strip()}")
        report = json.loads(out)
        if report["errors"] and not may_lose_connections:
            raise AssertionError(f"{self.kind}: {report['errors']}")
        return report


def main():
    options = parse_arguments()
    run, out = Run(options), pathlib.Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    probes = wanted(run)
    sizes = {probe.servers for probe in probes}
    if "curves" in options.groups:
        sizes |= {1} if options.given else {1, 3}
    for servers in sorted(sizes, key=lambda size: (size == 0, size)):
        group = [probe for probe in probes if probe.servers == servers]
        try:
            with Pair(run, servers) as pair:
                measure(run, pair, group)
                if servers and "curves" in options.groups:
                    curves.measure(run, pair, servers)
        except Exception as error:
            run.fails([row.key for probe in group for row in probe.rows if row.key not in run.values], "both", error)
        table.write(out, run, probes)
    if "scaling" in options.groups:
        curves.scaling(run)
        table.write(out, run, probes)
    print((out / "table.md").read_text())
    return 1 if run.failures else 0


def wanted(run):
    """The probes of the groups that were asked for, or those with a row that was named."""
    options, probes = run.options, list(rows.probes(run))
    if options.given:
        probes = [probe for probe in probes if probe.servers == 1 and probe.rows[0].key != "expiry"]
    if options.only:
        named = options.only.split(",")
        known = [row.key for probe in probes for row in probe.rows]
        for key in named:
            if key not in known:
                sys.exit(f"no row {key}; there are {', '.join(known)}")
        return [probe for probe in probes if any(row.key in named for row in probe.rows)]
    return [probe for probe in probes if probe.group in options.groups]


class Pair:
    """Both ensembles of a size, warmed up; of size 0 there is nothing to start."""

    def __init__(self, run, servers):
        self.run, self.servers, self.both = run, servers, []

    def __enter__(self):
        options = self.run.options
        if options.given:
            self.both = [Running(OURS, options.ours), Running(THEIRS, options.theirs)]
        else:
            self.both = [Ensemble(kind, max(self.servers, 1), peers.temporary_directory("benchmark"))
                         for kind in (OURS, THEIRS)]
        try:
            for ensemble in self.both if self.servers else []:
                if not options.given:
                    ensemble.start()
                # A JVM is at its best after some hundred thousand requests; the same for both.
                for share in (0, 100):
                    self.run.bench(ensemble, *PIPELINED, "-p", share, seconds=options.warm_s)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for ensemble in self.both:
            ensemble.stop()


def measure(run, pair, group):
    """Round by round, and in each row one beside the other; who is first changes."""
    for round_ in range(run.options.rounds):
        for probe in group:
            if probe.once and round_:
                continue
            for ensemble in pair.both[:: 1 if round_ % 2 else -1]:
                take(run, probe, ensemble, round_ + 1)
        if pair.servers == 1 and not run.options.given and not run.options.only:
            take_yardsticks(run)


def take(run, probe, ensemble, round_):
    """One probe of one ensemble. What it gave before it failed is kept."""
    texts = {row.key: row for row in probe.rows}
    taken = set()
    try:
        for key, value in probe.measure(run, ensemble):
            row = texts[key]
            run.values.setdefault(key, {OURS: [], THEIRS: []})[ensemble.kind].append(value)
            taken.add(key)
            print(f"round {round_}: {row.text}: {ensemble.kind} {table.number(value)} {row.unit}", flush=True)
    except Exception as error:
        run.fails([row.key for row in probe.rows if row.key not in taken], ensemble.kind, error)
        if probe.servers:
            try:
                ensemble.heal()
            except Exception as second:
                print(f"{ensemble.kind} does not come back: {second}", file=sys.stderr, flush=True)


def take_yardsticks(run):
    try:
        for key, value in yardsticks.measure(run):
            run.yardsticks.setdefault(key, []).append(value)
            print(f"yardstick {key}: {table.number(value)}", flush=True)
    except Exception as error:
        run.fails(["yardsticks"], "both", error)


def parse_arguments():
    parser = argparse.ArgumentParser(description="oxkeeper beside ZooKeeper 3.4.14")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--warm-s", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="one short round of everything: to see that it works")
    parser.add_argument("--groups", default="small,million,curves", help=f"some of {','.join(GROUPS)}")
    parser.add_argument("--only", help="rows by their keys, with commas between; no pictures")
    parser.add_argument("--out", default="benchmark")
    parser.add_argument("--ours", help="addresses of an ensemble that runs")
    parser.add_argument("--theirs", help="addresses of another")
    options = parser.parse_args()
    if bool(options.ours) != bool(options.theirs):
        parser.error("--ours and --theirs go together")
    options.given = bool(options.ours)
    options.groups = [] if options.only else options.groups.split(",")
    for group in options.groups:
        if group not in GROUPS:
            parser.error(f"no group {group}; there are {', '.join(GROUPS)}")
    if options.given:
        # What starts servers of its own is left out.
        options.groups = [group for group in options.groups if group in ("small", "curves")]
    if options.quick:
        options.rounds, options.seconds, options.warm_s = 1, 1, 1
    return options


if __name__ == "__main__":
    sys.exit(main())
