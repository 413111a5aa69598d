"""How throughput changes: with the share of reads, with losses, and with the size of everything."""

import resource
import time

import loads
from servers import OURS, THEIRS, Ensemble, peers

SHARES = (0, 20, 40, 60, 80, 90, 100)
CONNECTIONS = (1, 10, 100, 1_000, 10_000)
SIZES_BYTES = (0, 100, 1_024, 10_240, 102_400, 1_000_000)
SERVERS = (1, 3, 5, 7)


def measure(run, pair, servers):
    """The pictures of one size of ensemble."""
    for ensemble in pair.both:
        guarded(run, f"read shares, {servers}", ensemble, lambda: shares(run, ensemble, servers))
        if servers == 3:
            guarded(run, "failure time line", ensemble, lambda: timeline(run, ensemble))


def shares(run, ensemble, servers):
    """Throughput against the share of reads, as in the ZooKeeper paper."""
    points = [(share, loads.rate(run.bench(ensemble, *loads.PIPELINED, "-p", share))) for share in SHARES]
    run.shares.setdefault(str(servers), {})[ensemble.kind] = points


def timeline(run, ensemble):
    """Throughput for each tenth of a second, while servers are killed and come back. Clients that lose their
    server go to the next one, as real ones do."""
    step_s = max(run.options.seconds, 2)
    seconds = 5 * step_s
    load = run.bench_beside(ensemble.nodes, *loads.PIPELINED, "-p", 90, "-t", seconds, "-w", 1, "--window", 100,
                            "--reconnect", "--no-setup")
    # In this thread, since what a thread starts dies with it (see peers.spawn).
    happened = lose_and_return(ensemble, step_s)
    report = load.report(may_lose_connections=True)
    # The measurement ends with the program, but for the last answers.
    begin_s = load.ended_s - seconds
    ensemble.heal()
    rates = [window["operations"] * 10 for window in report["windows"]]
    rates += [0] * (seconds * 10 - len(rates))
    events = [(moment_s - begin_s, what) for moment_s, what in happened]
    run.timelines[ensemble.kind] = {"rates": rates[: seconds * 10], "events": events}


def lose_and_return(ensemble, step_s):
    """What happened, and when."""
    happened = []
    time.sleep(1)
    leader = ensemble.leader()
    follower = next(node for node in ensemble.nodes if node is not leader)
    for what, act in (
        ("follower killed", follower.kill), ("follower returns", follower.start),
        ("leader killed", leader.kill), ("leader returns", leader.start),
    ):
        time.sleep(step_s)
        happened.append((time.monotonic(), what))
        act()
    return happened


def scaling(run):
    """A table for each: connections, size of a value, size of the tree, size of the ensemble."""
    most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    quick = run.options.quick
    connections = [count for count in CONNECTIONS if count + 500 < most_files][: 3 if quick else None]
    add_table(run, "Against connections, one request under way on each", "connections", connections,
              lambda kind: each(run, kind, connections, lambda count: ("-c", count, "-i", 1, "-b", 1024, "-k", 1000)))
    add_table(run, "Against the size of a value, 16 connections x 4", "bytes", SIZES_BYTES,
              lambda kind: each(run, kind, SIZES_BYTES, lambda size: ("-c", 16, "-i", 4, "-b", size, "-k", 100)))
    trees = (1_000, 100_000 if not quick else 10_000, run.nodes)
    add_table(run, "Against the size of the tree, nodes of 100 B, 64 connections x 32", "nodes", trees,
              lambda kind: against_tree(run, kind, trees))
    servers = SERVERS[: 2 if quick else None]
    add_table(run, "Against the size of the ensemble, 64 connections x 32, 1 KiB", "servers", servers,
              lambda kind: against_servers(run, kind, servers))


def add_table(run, title, what, sizes, measure_):
    """A row for each size. A size that failed has a dash."""
    found = {kind: dict(measure_(kind)) for kind in (OURS, THEIRS)}
    cells = []
    for size in sizes:
        cell = [f"{size:,}"]
        for name in ("reads", "writes"):
            values = [found[kind].get((size, name)) for kind in (OURS, THEIRS)]
            cell += [f"{value:,.0f}/s" if value else "-" for value in values]
            cell.append(f"{values[0] / values[1]:.1f} x" if all(values) else "-")
        cells.append(cell)
    names = [what, "reads, oxkeeper", "ZooKeeper", "ratio", "writes, oxkeeper", "ZooKeeper", "ratio"]
    run.scaling.append((title, names, cells))


def each(run, kind, sizes, arguments_of):
    ensemble = Ensemble(kind, 1, peers.temporary_directory("benchmark"))
    yield from guarded_ensemble(run, ensemble, lambda: (
        pair for size in sizes for pair in both_ways(run, ensemble, size, arguments_of(size))
    ))


def against_tree(run, kind, trees):
    ensemble = Ensemble(kind, 1, peers.temporary_directory("benchmark"))

    def grown():
        for count in trees:
            run.bench(ensemble, "-m", "fill", "-k", count, "-b", 100, "-c", 16, "-i", 64, "--root", f"/t{count}")
            arguments = ("-c", 64, "-i", 32, "-b", 100, "-k", count, "--root", f"/t{count}", "--no-setup")
            yield from both_ways(run, ensemble, count, arguments)

    yield from guarded_ensemble(run, ensemble, grown)


def against_servers(run, kind, sizes):
    for count in sizes:
        ensemble = Ensemble(kind, count, peers.temporary_directory("benchmark"))
        yield from guarded_ensemble(run, ensemble, lambda: both_ways(run, ensemble, count, loads.PIPELINED))


def both_ways(run, ensemble, size, arguments):
    for name, share in (("reads", 100), ("writes", 0)):
        value = None
        try:
            value = loads.rate(run.bench(ensemble, *arguments, "-p", share))
        except Exception as error:
            run.fails([f"scaling: {name} at {size:,}"], ensemble.kind, error)
            ensemble.heal()
        print(f"scaling: {name} at {size:,}: {ensemble.kind} {value or 0:,.0f}/s", flush=True)
        yield (size, name), value


def guarded_ensemble(run, ensemble, measure_):
    try:
        ensemble.start()
        yield from measure_()
    except Exception as error:
        run.fails(["scaling"], ensemble.kind, error)
    finally:
        ensemble.stop()
        ensemble.remove()


def guarded(run, what, ensemble, act):
    try:
        act()
        print(f"{what}: {ensemble.kind} done", flush=True)
    except Exception as error:
        run.fails([what], ensemble.kind, error)
        ensemble.heal()
