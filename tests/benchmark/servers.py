"""Ensembles to be measured: laid out, started, asked how they are, stopped."""

import os
import pathlib
import shutil
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "interop"))
import peers  # noqa: E402
import wire  # noqa: E402, F401  (for the modules beside this one)

OURS, THEIRS = "oxkeeper", "java"
JAVA_HEAP = "-Xmx4g"
CONFIGURATION = ["tickTime=2000", "initLimit=10", "syncLimit=5"]
JAVA_MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"


class Node:
    """One server with a configuration of its own."""

    def __init__(self, kind, number, directory, lines):
        self.kind, self.number = kind, number
        self.port = peers.free_port()
        self.data = directory / f"{kind}-{number}"
        self.data.mkdir()
        (self.data / "myid").write_text(str(number))
        self.config = directory / f"{kind}-{number}.cfg"
        self.config.write_text(
            "\n".join([f"dataDir={self.data}", f"clientPort={self.port}", "maxClientCnxns=0"] + lines) + "\n"
        )
        self.log = directory / f"{kind}-{number}.log"
        self.process = None

    def start(self):
        if self.kind == OURS:
            command = [peers.oxkeeper_binary(), "server", str(self.config)]
        else:
            peers.remove_empty_logs(self.data)
            # The JVM as an operator has it: no flags but for the heap of a million nodes.
            command = ["java", JAVA_HEAP, "-Dzookeeper.jmx.log4j.disable=true",
                       f"-Dlog4j.configuration=file:{peers._quiet_log4j()}",
                       "-cp", peers.java_class_path(), JAVA_MAIN, str(self.config)]
        environment = dict(os.environ, RUST_LOG="warn")
        with open(self.log, "ab") as log:
            self.process = peers.spawn(command, stdout=log, stderr=log, env=environment)

    def kill(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(30)
            self.process = None

    def mode(self):
        try:
            text = peers.four_letter_word(self.port, "srvr")
        except OSError:
            return None
        return text.split("Mode: ")[1].split()[0] if "Mode: " in text else None

    def is_dead(self):
        return self.process is None or self.process.poll() is not None

    def resident_bytes(self):
        # What stands in `status` is brought up to date now and then; this is counted when it is asked for.
        for line in pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no resident memory of {self.process.pid}")


class Ensemble:
    """One server alone, or several that vote."""

    def __init__(self, kind, count, directory):
        self.kind, self.directory = kind, directory
        lines = list(CONFIGURATION)
        if count > 1:
            lines += [
                f"server.{number}=127.0.0.1:{peers.free_port()}:{peers.free_port()}"
                for number in range(1, count + 1)
            ]
        self.nodes = [Node(kind, number, directory, lines) for number in range(1, count + 1)]

    def start(self):
        for node in self.nodes:
            node.start()
        self.wait_serving()
        return self

    def wait_serving(self, seconds=120):
        peers.wait_until(lambda: all(node.mode() for node in self.nodes), seconds, f"{self.kind} to serve")

    def leader(self):
        return peers.wait_until(
            lambda: next((node for node in self.nodes if node.process and node.mode() in ("leader", "standalone")), None),
            120, f"a leader of {self.kind}",
        )

    @property
    def address(self):
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def heal(self):
        """Starts what has died, so that the next measurement finds all servers."""
        for node in self.nodes:
            if node.is_dead():
                node.start()
        self.wait_serving()

    def stop(self):
        for node in self.nodes:
            node.kill()

    def remove(self):
        for node in self.nodes:
            shutil.rmtree(node.data, ignore_errors=True)


class Running:
    """An ensemble of somebody's, by its addresses: it is only driven."""

    def __init__(self, kind, address):
        self.kind, self.address, self.nodes = kind, address, []

    def heal(self):
        """Whoever runs it does that."""

    def stop(self):
        """The same."""


def until(condition, seconds, what, step_s=0.002):
    """Waits with a short step, since the time itself is the result."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > seconds:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(step_s)
    return time.monotonic() - begin
