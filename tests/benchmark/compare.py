#!/usr/bin/env python3
"""oxkeeper beside ZooKeeper 3.4.14: see scripts/benchmark.sh, which calls this."""

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

import events
import pictures
from servers import OURS, THEIRS, Ensemble, Running, peers


class Row:
    """One line of the table: a name, a unit, whether more is better, and what measures it."""

    def __init__(self, key, text, unit, more_is_better, servers, measure):
        self.key, self.text, self.unit = key, text, unit
        self.more_is_better, self.servers, self.measure = more_is_better, servers, measure


class Run:
    """What the operator asked for, and how a load is driven."""

    def __init__(self, options):
        self.options = options

    def bench(self, ensemble, *arguments, warm=True, seconds=None):
        command = [peers.oxkeeper_binary(), "bench", "-s", ensemble.address, "-j"]
        command += [str(argument) for argument in arguments]
        if "-n" not in command and "fill" not in command:
            command += ["-t", str(seconds or self.options.seconds)]
            command += ["-w", str(max(1, self.options.seconds // 3))] if warm else []
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=1200)
        report = json.loads(done.stdout)
        if report["errors"]:
            raise AssertionError(f"{ensemble.kind}: {report['errors']}")
        return report


def rate(report):
    parts = report["parts"].values()
    return sum(part["per_s"] or 0 for part in parts)


def percentile(name):
    return lambda report: max(part[name] for part in report["parts"].values() if part["count"])


def load(figure, *arguments):
    return lambda run, ensemble: figure(run.bench(ensemble, *arguments))


PIPELINED = ("-c", 64, "-i", 32, "-b", 1024, "-k", 1000)
ONE = ("-c", 1, "-i", 1, "-b", 1024, "-k", 1000)
MIXES = (("reads", 100), ("90% reads", 90), ("writes", 0))


def rows():
    for servers in (1, 3):
        at = "1 server" if servers == 1 else f"{servers} servers"
        for name, share in MIXES:
            arguments = PIPELINED + ("-p", share)
            yield Row(f"{share}-{servers}", f"{name}, {at}", "/s", True, servers, load(rate, *arguments))
        for name, share in MIXES[::2]:
            arguments = PIPELINED + ("-p", share)
            figure = load(percentile("p99_us"), *arguments)
            yield Row(f"p99-{share}-{servers}", f"{name}, {at}: p99", "us", False, servers, figure)
        for count in (1, 10, 20):
            for name, share in MIXES[::2]:
                arguments = ("-c", count, "-i", 1, "-b", 1024, "-k", 1000, "-p", share)
                key = f"sync-{count}-{share}-{servers}"
                text = f"{count} synchronous, {name}, {at}"
                yield Row(key, f"{text}: p50", "us", False, servers, load(percentile("p50_us"), *arguments))
    sessions = load(rate, "-m", "sessions", "-c", 50)
    yield Row("sessions", "sessions opened and closed, 1 server", "/s", True, 1, sessions)
    watches = load(percentile("p50_us"), "-m", "watches", "-c", 1000, "-n", 20)
    yield Row("watches", "1,000 watchers of a node: last event, p50", "us", False, 1, watches)
    yield Row("start", "start on an empty directory", "ms", False, 0, events.start_empty)
    yield Row("failover", "kill -9 of the leader to the next write, 3 servers", "ms", False, 3, events.failover)
    yield Row("rejoin", "rejoin of the killed server", "ms", False, 3, events.rejoin)


def main():
    options = parse_arguments()
    run, out = Run(options), pathlib.Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    wanted = [row for row in rows() if not options.only or row.key in options.only.split(",")]
    results = {row.key: {OURS: [], THEIRS: []} for row in wanted}
    curves = {}
    for servers in sorted({row.servers for row in wanted}):
        group = [row for row in wanted if row.servers == servers]
        with Pair(options, servers) as pair:
            measure(run, pair, group, results)
            if servers and not options.only:
                curves[servers] = read_shares(run, pair)
            if servers == 1 and not options.given:
                results["memory"] = {e.kind: [e.nodes[0].resident_mib()] for e in pair.both}
    if "memory" in results:
        wanted.append(Row("memory", "resident after all of it, 1 server", "MiB", False, 1, None))
    write(out, options, wanted, results, curves)
    return 0


class Pair:
    """Both ensembles of a size, warmed up; of size 0 there is nothing to start."""

    def __init__(self, options, servers):
        self.options, self.servers, self.both = options, servers, []

    def __enter__(self):
        if self.options.given:
            self.both = [Running(OURS, self.options.ours), Running(THEIRS, self.options.theirs)]
        elif self.servers:
            directory = peers.temporary_directory("benchmark")
            self.both = [Ensemble(kind, self.servers, directory).start() for kind in (OURS, THEIRS)]
        else:
            self.both = [Ensemble(kind, 1, peers.temporary_directory("benchmark")) for kind in (OURS, THEIRS)]
        for ensemble in self.both if self.servers else []:
            # A JVM is at its best after some hundred thousand requests; the same for both.
            for share in (0, 100):
                Run(self.options).bench(ensemble, *PIPELINED, "-p", share, seconds=self.options.warm_s)
        return self

    def __exit__(self, *_):
        if not self.options.given:
            for ensemble in self.both:
                ensemble.stop()


def measure(run, pair, group, results):
    """Round by round, and in each row one beside the other; who is first changes."""
    for round_ in range(run.options.rounds):
        for row in group:
            for ensemble in pair.both[:: 1 if round_ % 2 else -1]:
                value = row.measure(run, ensemble)
                results[row.key][ensemble.kind].append(value)
                print(f"round {round_ + 1}: {row.text}: {ensemble.kind} {value:,.0f} {row.unit}", flush=True)


def read_shares(run, pair):
    """Throughput against the share of reads, as in the ZooKeeper paper."""
    curve = {OURS: [], THEIRS: []}
    for share in (0, 20, 40, 60, 80, 90, 100):
        for ensemble in pair.both:
            curve[ensemble.kind].append((share, rate(run.bench(ensemble, *PIPELINED, "-p", share))))
    return curve


def write(out, options, wanted, results, curves):
    lines = [
        f"oxkeeper beside ZooKeeper 3.4.14, {datetime.date.today()}: {machine()}; {versions()}.",
        f"Medians of {options.rounds} rounds of {options.seconds} s, in alternation; least and most in brackets.",
        "",
        "| | oxkeeper | ZooKeeper 3.4.14 | ratio |",
        "|---|---|---|---|",
    ]
    for row in wanted:
        ours, theirs = results[row.key][OURS], results[row.key][THEIRS]
        if ours and theirs:
            better = statistics.median(ours) / statistics.median(theirs)
            better = better if row.more_is_better else 1 / better
            lines.append(f"| {row.text} | {shown(ours, row.unit)} | {shown(theirs, row.unit)} | {better:.1f} x |")
    table = "\n".join(lines) + "\n"
    (out / "table.md").write_text(table)
    (out / "results.json").write_text(json.dumps({"results": results, "curves": curves}, indent=1))
    for servers, curve in curves.items():
        svg = pictures.throughput(curve, f"{servers} server{'s' if servers > 1 else ''}")
        (out / f"throughput-{servers}.svg").write_text(svg)
    print(table)


def shown(values, unit):
    middle = statistics.median(values)
    spread = f" ({min(values):,.0f}-{max(values):,.0f})" if len(values) > 1 else ""
    return f"{middle:,.0f} {unit}{spread}".replace(" /s", "/s")


def machine():
    cpu = "cpu"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":")[1].strip()
            break
    return f"{os.cpu_count()} cores of {cpu}, Linux {platform.release().split('-')[0]}"


def versions():
    java = subprocess.run(["java", "-version"], stderr=subprocess.PIPE, text=True, check=False).stderr
    return java.splitlines()[0] if java else "no java"


def parse_arguments():
    parser = argparse.ArgumentParser(description="oxkeeper beside ZooKeeper 3.4.14")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--warm-s", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="one short round: to see that it works")
    parser.add_argument("--only", help="rows by their keys, with commas between")
    parser.add_argument("--out", default="benchmark")
    parser.add_argument("--ours", help="addresses of an ensemble that runs")
    parser.add_argument("--theirs", help="addresses of another")
    options = parser.parse_args()
    if bool(options.ours) != bool(options.theirs):
        parser.error("--ours and --theirs go together")
    if options.quick:
        options.rounds, options.seconds, options.warm_s = 1, 1, 1
    options.given = bool(options.ours)
    keys = [row.key for row in rows()]
    for key in options.only.split(",") if options.only else []:
        if key not in keys:
            parser.error(f"no row {key}; there are {', '.join(keys)}")
    if options.given:
        # What needs servers of its own is left out.
        own = {"start", "failover", "rejoin"}
        options.only = ",".join(key for key in keys if key.endswith("-1") or key in ("sessions", "watches"))
        options.only = ",".join(key for key in options.only.split(",") if key not in own)
    return options


if __name__ == "__main__":
    sys.exit(main())
