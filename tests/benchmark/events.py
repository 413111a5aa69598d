"""What is measured by its duration: a start, the loss of a leader, the way back."""

import time

import loads
from servers import Ensemble, peers, until, wire


def start_empty(_run, ensemble):
    """From the start of the process to the first answer that says it serves."""
    fresh = Ensemble(ensemble.kind, 1, peers.temporary_directory("benchmark"))
    try:
        yield "start", start_ms(fresh.nodes[0])
    finally:
        fresh.stop()


def failover(_run, ensemble):
    yield "failover", failover_ms(ensemble)


def rejoin(_run, ensemble):
    yield "rejoin", rejoin_ms(ensemble)


def rejoin_under_load(run, ensemble):
    """A follower is killed and comes back, while clients of the other servers go on."""
    follower = next(node for node in ensemble.nodes if node is not ensemble.leader())
    others = [node for node in ensemble.nodes if node is not follower]
    seconds = max(run.options.seconds, 4) * 2
    load = run.bench_beside(others, *loads.PIPELINED, "-p", 90, "-t", seconds)
    time.sleep(seconds / 4)
    follower.kill()
    time.sleep(seconds / 8)
    follower.start()
    report = load.report()
    ensemble.wait_serving()
    yield "rejoin-tail", loads.tail(report)
    yield "rejoin-worst", loads.worst_second(report)


def start_ms(node):
    begin = time.monotonic()
    node.start()
    until(lambda: node.mode() is not None, 180, "a server to serve")
    return (time.monotonic() - begin) * 1e3


def failover_ms(ensemble):
    """From kill -9 of the leader to the next write that a client of another server has acknowledged. The client
    tries again each few milliseconds, on all servers in turn."""
    leader = ensemble.leader()
    others = [node for node in ensemble.nodes if node is not leader]
    begin = time.monotonic()
    leader.kill()
    until(lambda: any(can_write(node) for node in others), 120, "a write after the leader's death")
    took_ms = (time.monotonic() - begin) * 1e3
    leader.start()
    ensemble.wait_serving()
    return took_ms


def rejoin_ms(ensemble):
    """From the start of a follower's process to its first answer that says it follows."""
    follower = next(node for node in ensemble.nodes if node is not ensemble.leader())
    follower.kill()
    return start_ms(follower)


def can_write(node):
    try:
        client = wire.Client(node.port, 10_000)
    except OSError:
        return False
    try:
        client.set("/bench", b"")
        return True
    except (OSError, wire.Refused):
        return False
    finally:
        client.abandon()
