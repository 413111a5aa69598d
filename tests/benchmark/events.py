"""What is measured by its duration: a start, the loss of a leader, the way back."""

import time

from servers import Ensemble, peers, until, wire


def start_empty(_run, ensemble):
    """From the start of the process to the first answer that says it serves."""
    fresh = Ensemble(ensemble.kind, 1, peers.temporary_directory("benchmark"))
    node = fresh.nodes[0]
    begin = time.monotonic()
    node.start()
    until(lambda: node.mode() is not None, 60, "a server to serve")
    took_s = time.monotonic() - begin
    fresh.stop()
    return took_s * 1e3


def failover(_run, ensemble):
    """From kill -9 of the leader to the next write that a client of another server has acknowledged. The client
    tries again each few milliseconds, on all servers in turn."""
    leader = ensemble.leader()
    others = [node for node in ensemble.nodes if node is not leader]
    begin = time.monotonic()
    leader.kill()
    until(lambda: any(can_write(node) for node in others), 60, "a write after the leader's death")
    took_s = time.monotonic() - begin
    leader.start()
    ensemble.wait_serving()
    return took_s * 1e3


def rejoin(_run, ensemble):
    """From the start of a follower's process to its first answer that says it follows."""
    follower = next(node for node in ensemble.nodes if node is not ensemble.leader())
    follower.kill()
    begin = time.monotonic()
    follower.start()
    until(lambda: follower.mode() is not None, 60, "a follower to come back")
    return (time.monotonic() - begin) * 1e3


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
