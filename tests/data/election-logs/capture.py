#!/usr/bin/env python3
"""Captures the logs of ensembles through elections, for the tests of `oxkeeper rounds`.

    python capture.py [ours|java|mixed ...]     (with the packages of tests/interop/install.sh)

Three voters and an observer. Each capture is the same story: an election from
scratch, the leader killed, its return, the next leader stopped (SIGSTOP) until
the others have left it, and its return; a follower misses writes, all are
killed, and it starts again with the leader alone. Writes a directory for each story, with a log for
each server. Lines that say nothing of elections are left out.
"""

import os
import pathlib
import re
import signal
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "interop"))
os.environ["TZ"] = "UTC"

import ensemble  # noqa: E402
import peers  # noqa: E402

J, O = "java", "oxkeeper"
STORIES = {
    "ours": [O, O, O, O + " observer"],
    "java": [J, J, J, J + " observer"],
    "mixed": [O, J, O, J + " observer"],
}


def main():
    for name in sys.argv[1:] or STORIES:
        capture(name, ensemble.Ensemble(*STORIES[name]))


def capture(name, servers):
    for node in servers.nodes.values():
        node.start(wait=False)
    wait_for_all(servers)
    write(servers, 3)
    first = servers.leader()
    first.server.kill()
    second = servers.leader()
    write(servers, 3)
    first.start()
    # Only who knows as much as the others can follow the one that is stopped next.
    write(servers, 3)
    second.signal(signal.SIGSTOP)
    others = [node for node in servers.nodes.values() if node is not second]
    peers.wait_until(lambda: any(node.mode() == "leader" for node in others), 120, "another leader")
    peers.wait_until(lambda: all(node.mode() for node in others), 120, "all others")
    second.signal(signal.SIGCONT)
    peers.wait_until(lambda: second.mode() == "follower", 120, "the return")
    leader = servers.leader()
    behind, other = (servers.nodes[n] for n in reversed(servers.voters) if n != leader.number)
    behind.server.kill()
    write(servers, 3)
    servers.kill_all()
    last = [node for node in servers.nodes.values() if node is not other]
    for node in last:
        node.start(wait=False)
    for node in last:
        node.server.wait_serving()
    for node in last:
        node.signal(signal.SIGSTOP)
    servers.kill_all()
    target = HERE / name
    target.mkdir(exist_ok=True)
    for node in servers.nodes.values():
        (target / f"{node.number}.log").write_text(trimmed(node.server.log_text()))


def wait_for_all(servers):
    for node in servers.nodes.values():
        node.server.wait_serving()


def write(servers, count):
    client = servers.leader().client()
    for _ in range(count):
        client.create("/n-", flags=ensemble.wire.SEQUENTIAL)
    client.close()


def trimmed(text):
    """The lines about the ensemble, without traces of the machine; of a stack trace its head."""
    kept, in_event, told = [], False, set()
    for line in text.splitlines():
        if re.match(r"\d{4}-", line):
            words = line.partition("] - ")[2]
            # An observer of Java is told the same without end.
            in_event = not NOISE.search(line) and words not in told
            if "Notification:" in line:
                told.add(words)
            elif line.endswith(" - LOOKING"):
                told = set()
            if in_event:
                kept.append(line)
        elif in_event and (not line.startswith("\tat ") or kept[-1][0].isalpha()):
            kept.append(line)
    return "\n".join(kept) + "\n"


NOISE = re.compile(
    r"environment:|NIOServerC|four letter|jute|JMX|SessionTracker|FileTxn|set to|property|config"
    r"|Purge|autopurge|LogFormatter|ZooKeeperServer@|Environment@|fsync|TCP NoDelay|gate@|Processor"
    r"|client_port|cnxn@|options@|DatadirCleanup|machine@|Resolved|not secured|not found!|Listener@743"
    r"|Received connection|prep@|Interrupt|Reading snap|Send worker|log_writer@"
)

if __name__ == "__main__":
    main()
