"""What many sessions do: come and go, wait, watch, and expire together."""

import time

import loads
from servers import wire


def sessions(run, ensemble):
    yield "sessions", loads.rate(run.bench(ensemble, "-m", "sessions", "-c", 50))


def watches(run, ensemble):
    report = run.bench(ensemble, "-m", "watches", "-c", 1000, "-n", 20)
    yield "watches", report["parts"]["last event"]["p50_us"]


def expiry(run, ensemble):
    """Sessions with an ephemeral node each fall silent together. Until the last node is gone, another session
    pings without a pause; its latest answer is what counts."""
    port = ensemble.nodes[0].port
    keeper = wire.Client(port, 30_000)
    root = "/expiry"
    if keeper.exists(root) is None:
        keeper.create(root)
    # As short as tickTime allows.
    crowd = open_sessions(port, run.crowd, 4_000)
    for number, client in enumerate(crowd):
        client.create(f"{root}/{number:06}", flags=wire.EPHEMERAL)
    for client in crowd:
        client.ping()
    worst_s, end_s = 0.0, time.monotonic() + 30
    while keeper.exists(root).num_children and time.monotonic() < end_s:
        for _ in range(20):
            begin_s = time.monotonic()
            keeper.ping()
            worst_s = max(worst_s, time.monotonic() - begin_s)
    left = keeper.exists(root).num_children
    keeper.close()
    abandon(crowd)
    if left:
        raise AssertionError(f"{left} of {run.crowd} sessions did not expire within 30 s")
    yield "expiry", worst_s * 1e3


def bytes_per_session(node, count):
    """What each of so many sessions adds to the resident memory of a server."""
    crowd = open_sessions(node.port, 100, 40_000)
    before = node.resident_bytes()
    crowd += open_sessions(node.port, count, 40_000)
    per_session = (node.resident_bytes() - before) / count
    abandon(crowd)
    return per_session


def bytes_per_watch(node, watchers, watched):
    """The same for each watch, of so many sessions on as many nodes."""
    maker = wire.Client(node.port, 30_000)
    maker.create("/watched")
    paths = [f"/watched/{number:06}" for number in range(watched)]
    for path in paths:
        maker.create(path)
    crowd = open_sessions(node.port, watchers, 40_000)
    before = node.resident_bytes()
    for client in crowd:
        client.set_watches(2**62, data=paths)
    per_watch = (node.resident_bytes() - before) / (watchers * watched)
    abandon(crowd + [maker])
    return per_watch


def open_sessions(port, count, timeout_ms):
    return [wire.Client(port, timeout_ms) for _ in range(count)]


def abandon(crowd):
    for client in crowd:
        client.abandon()
