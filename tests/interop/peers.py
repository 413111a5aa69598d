"""The processes that the interop tests talk to: one driver for a server of
either kind, and Java's own command line.

Everything started here dies with this program, however it ends. A server
listens on a port of its own choice unless one is given, and keeps it when it
is started again. The two kinds are driven alike:

    with Server("java", data_dir) as server:    # or "oxkeeper"
        server.word("ruok")
        server.kill()                           # SIGKILL
        server.start()

Environment: OXKEEPER names the binary under test (default: the newer one of
target/release/oxkeeper and target/debug/oxkeeper), OXKEEPER_PEERS where
install.sh put the jars.
"""

import atexit
import ctypes
import os
import pathlib
import queue
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
KINDS = ("java", "oxkeeper", "java-3.9")
# Those that free_port gives one after the other.
PORTS_APART = 7
PEERS = pathlib.Path(
    os.environ.get("OXKEEPER_PEERS")
    or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    / "oxkeeper-peers"
)


def offer_packages():
    """Lets what pip has put beside the peers, kazoo above all, be imported from here on."""
    sys.path.extend(str(path) for path in (PEERS / "venv/lib").glob("python*/site-packages"))


def wait_until(condition, seconds, what):
    """Calls `condition` until it gives a true value, and gives that back."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def free_port():
    """A port nobody listens on now; from below the range of outgoing ones, so
    that no client's socket takes it between two starts of a server."""
    low = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    start = 10000 + (os.getpid() * 37 + _next_number() * PORTS_APART) % max(low - 11000, 1000)
    for port in range(start, start + 900):
        if _is_free(port):
            return port
    raise AssertionError("no free port")


def free_ports(count):
    """The first of so many free ports, one behind the other."""
    while True:
        first = free_port()
        if all(_is_free(port) for port in range(first, first + count)):
            # Nobody else is given one of them.
            for _ in range(count // PORTS_APART):
                _next_number()
            return first


def _is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def four_letter_word(port, word, more=b""):
    """What the server answers to `word`, until it closes; bytes as text."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(word.encode() + more)
        parts = []
        while True:
            try:
                part = sock.recv(65536)
            except ConnectionResetError:
                # A server that closes with bytes unread resets the connection.
                break
            if not part:
                break
            parts.append(part)
    return b"".join(parts).decode("utf-8", "replace")


def temporary_directory(prefix):
    """A directory that is removed when the program ends well."""
    path = tempfile.mkdtemp(prefix=f"oxkeeper-{prefix}-")
    if not os.environ.get("OXKEEPER_KEEP"):
        atexit.register(shutil.rmtree, path, True)
    return pathlib.Path(path)


def stop_process(process):
    """SIGSTOP, and waits until no thread of it runs any more: a busy machine takes its time."""
    process.send_signal(signal.SIGSTOP)

    def is_stopped():
        states = pathlib.Path(f"/proc/{process.pid}/task").glob("*/stat")
        return all(state.read_text().rsplit(")", 1)[1].split()[0] == "T" for state in states)

    wait_until(is_stopped, 30, f"the standstill of {process.pid}")


def remove_empty_logs(data_dir):
    """What an operator does before a Java server of 3.4 that was killed starts again: between
    making a log file and writing its header there is a moment, and whoever dies in it leaves an
    empty file, at which the next start ends (FileHeader meets EOF; ZOOKEEPER-2332). Such a file
    holds nothing."""
    for path in (pathlib.Path(data_dir) / "version-2").glob("log.*"):
        if path.stat().st_size == 0:
            path.unlink()


class Server:
    """A standalone server on one data directory, of either kind."""

    def __init__(self, kind, data_dir, tick_ms=2000, config=(), properties=(), port=None):
        """`config` are further lines of zoo.cfg, `properties` are key=value."""
        assert kind in KINDS, kind
        self.kind = kind
        self.data_dir = pathlib.Path(data_dir)
        self.port = port or free_port()
        self.properties = list(properties)
        self.directory = temporary_directory(kind)
        self.log_path = self.directory / "log"
        self.config_path = self.directory / "zoo.cfg"
        self.config_path.write_text(
            "\n".join(
                [f"tickTime={tick_ms}", f"dataDir={self.data_dir}", f"clientPort={self.port}"]
                + list(config)
            )
            + "\n"
        )
        self.process = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self, wait=True):
        """Starts the process and waits until it serves."""
        environment = dict(os.environ)
        flags = [f"-D{item}" for item in self.properties]
        if self.kind == "java":
            remove_empty_logs(self.data_dir)
            command = [str(HERE / "java-server.sh"), str(self.config_path)]
            environment["JVMFLAGS"] = " ".join(flags)
        elif self.kind == "java-3.9":
            flags += ["-Dzookeeper.admin.enableServer=false", "-Dzookeeper.extendedTypesEnabled=true"]
            flags += ["-Dzookeeper.4lw.commands.whitelist=*"]
            command = java_3_9_command(
                "org.apache.zookeeper.server.quorum.QuorumPeerMain", [str(self.config_path)], flags
            )
        else:
            command = [oxkeeper_binary()] + flags + ["server", str(self.config_path)]
        with open(self.log_path, "ab") as log:
            self.process = spawn(command, stdout=log, stderr=log, env=environment)
        if wait:
            self.wait_serving()
        return self

    def wait_serving(self, seconds=60):
        def serving():
            if self.process.poll() is not None:
                raise AssertionError(
                    f"the {self.kind} server ended with {self.process.returncode}:\n{self.log_tail()}"
                )
            try:
                return "Mode:" in self.word("srvr")
            except OSError:
                return False

        wait_until(serving, seconds, f"{self.kind} server on {self.address}")

    def stop(self):
        """SIGTERM. Java has no handler for it; oxkeeper ends in order."""
        code = self._end(signal.SIGTERM)
        wanted = 0 if self.kind == "oxkeeper" else 143
        assert code == wanted, f"{self.kind} ended with {code} on SIGTERM:\n{self.log_tail()}"

    def kill(self):
        """SIGKILL: the process has no chance to write anything more."""
        self._end(signal.SIGKILL)

    def word(self, word, more=b""):
        return four_letter_word(self.port, word, more)

    def log_text(self):
        return self.log_path.read_text("utf-8", "replace") if self.log_path.exists() else ""

    def log_tail(self, lines=30):
        return "\n".join(self.log_text().splitlines()[-lines:])

    def _end(self, signal_number):
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        code = self.process.wait(30)
        self.process = None
        return code

    def __enter__(self):
        return self.start() if self.process is None else self

    def __exit__(self, *_):
        self.kill()


class CommandLine:
    """Java's ZooKeeperMain of 3.4.14, or `oxkeeper cli`, fed one line at a time.

    It prints no prompt without a terminal, so the end of a command's output is
    seen by a marker: `printwatches`, whose answer is one known line.
    """

    MARKER = "printwatches is "

    def __init__(self, server_address, arguments=(), client="java"):
        self.process = spawn(
            command_line_words(server_address, arguments, client),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )
        self.lines = queue.Queue()
        self.reader = threading.Thread(target=self._read, name="zkCli", daemon=True)
        self.reader.start()

    def run(self, command, seconds=30):
        """The lines printed by `command`, both streams together."""
        self.send(command)
        self.send("printwatches")
        return self.until_marker(seconds)

    def send(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def until_marker(self, seconds=30):
        found = []
        while True:
            line = self._line(seconds)
            if line.startswith(self.MARKER):
                return found
            found.append(line)

    def until(self, text, seconds=30):
        """The lines up to and with the first one that contains `text`."""
        found = []
        while not found or text not in found[-1]:
            try:
                found.append(self._line(seconds))
            except AssertionError as error:
                raise AssertionError(f"{error}, waiting for {text!r} after {found}") from None
        return found

    def quit(self):
        """Sends `quit`; gives the remaining lines and the exit code."""
        self.send("quit")
        code = self.process.wait(30)
        self.reader.join(10)
        rest = []
        while (line := self.lines.get()) is not None:
            rest.append(line)
        return rest, code

    def _line(self, seconds):
        """The next line; none within the time, or ever, is an AssertionError."""
        try:
            line = self.lines.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"zkCli printed nothing for {seconds} s") from None
        assert line is not None, "zkCli ended"
        return line

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)


def command_line_once(server_address, words, seconds=30, client="java"):
    """Runs zkCli with one command; gives stdout, stderr and the exit code."""
    process = spawn(
        command_line_words(server_address, words, client),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = process.communicate(timeout=seconds)
    return out, err, process.returncode


def command_line_words(server_address, arguments, client="java"):
    arguments = ["-server", server_address] + list(arguments)
    if client == "java":
        return java_command("org.apache.zookeeper.ZooKeeperMain", arguments)
    if client == "java-3.9":
        return java_3_9_command("org.apache.zookeeper.ZooKeeperMain", arguments)
    return [oxkeeper_binary(), "cli"] + arguments


def java_command(main_class, arguments, class_path=()):
    """The command that runs a Java client of 3.4.14 with the peers' jars.

    3.4.14 takes a server's name apart from InetSocketAddress's text, which newer
    Java versions write as `host/<unresolved>:port`; that "name" is therefore put
    into a file of host names of the JVM's own.
    """
    return [
        "java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dfile.encoding=UTF-8",
        f"-Djdk.net.hosts.file={_hosts_file()}", f"-Dlog4j.configuration=file:{_quiet_log4j()}",
        "-cp", ":".join(list(class_path) + [java_class_path()]), main_class,
    ] + list(arguments)


def java_3_9_command(main_class, arguments, flags=(), class_path=()):
    """The command that runs a class of ZooKeeper 3.9.3, or of yours with its jars."""
    return [
        "java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dfile.encoding=UTF-8",
    ] + list(flags) + ["-cp", ":".join(list(class_path) + [java_3_9_class_path()]), main_class] + list(arguments)


def java_3_9_class_path():
    """3.9.3 and Curator 5.7.1, which log nothing: there is no back end for slf4j among them."""
    peers = os.environ.get("OXKEEPER_PEERS")
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return f"{peers or pathlib.Path(cache) / 'oxkeeper-peers'}/jars-3.9/*"


def java_class_path():
    return subprocess.check_output([str(HERE / "java-server.sh"), "--classpath"], text=True).strip()


def oxkeeper_binary():
    given = os.environ.get("OXKEEPER")
    if given:
        return given
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target")
    built = [path for path in (target / "release/oxkeeper", target / "debug/oxkeeper") if path.exists()]
    if not built:
        raise AssertionError(f"no oxkeeper in {target}: run cargo build, or set OXKEEPER")
    return str(max(built, key=lambda path: path.stat().st_mtime))


def spawn(command, **options):
    """A child that is killed when this program ends."""
    process = subprocess.Popen(command, preexec_fn=_die_with_parent, **options)
    _children.append(process)
    return process


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG


def _end_children():
    for process in _children:
        if process.poll() is None:
            process.kill()
            process.wait()


def _next_number():
    global _number
    _number += 1
    return _number


def _shared_file(name, text):
    path = _shared.get(name)
    if path is None:
        path = temporary_directory("java") / name
        path.write_text(text)
        _shared[name] = path
    return path


def _hosts_file():
    return _shared_file(
        "hosts", "127.0.0.1 127.0.0.1/<unresolved> localhost localhost/<unresolved>\n"
    )


def _quiet_log4j():
    return _shared_file(
        "log4j.properties",
        "log4j.rootLogger=ERROR, CONSOLE\n"
        "log4j.appender.CONSOLE=org.apache.log4j.ConsoleAppender\n"
        "log4j.appender.CONSOLE.target=System.err\n"
        "log4j.appender.CONSOLE.layout=org.apache.log4j.PatternLayout\n"
        "log4j.appender.CONSOLE.layout.ConversionPattern=%p %m%n\n",
    )


_children = []
_shared = {}
_number = 0
atexit.register(_end_children)
