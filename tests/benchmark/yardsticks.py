"""What the machine can do, measured beside the servers: its disk, and a server that keeps nothing."""

import csv
import io
import os
import shutil
import statistics
import subprocess
import threading
import time

from servers import peers, until


class Yardstick:
    """A figure, and the row it stands beside: as a share of it, or as what the row has above it."""

    def __init__(self, key, text, unit, row, is_share, aim):
        self.key, self.text, self.unit = key, text, unit
        self.row, self.is_share, self.aim = row, is_share, aim


ALL = [
    Yardstick("redis-get", "Redis GET of 1 KiB, 64 connections x 32", "/s", "100-1", True, ">= 1.0 of it"),
    Yardstick("redis-get-p50", "Redis GET, one client: p50", "us", "sync-1-100-1-p50", True, "<= 1.5 of it"),
    Yardstick("disk-batch", "1 KiB appended, one fdatasync for 1,000", "/s", "0-1", True, ">= 0.5 of it"),
    Yardstick("disk-sync-p50", "1 KiB appended and fdatasync: p50", "us", "sync-1-0-1-p50", False, "<= 30 us above"),
    Yardstick("disk-sync-worst", "the same beside a large file that is written: worst", "ms", "snapshot-worst", False,
              "<= 10 ms above"),
]


def measure(run):
    """Pairs of key and value; what is not installed is left out."""
    yield from disk(run)
    if shutil.which("redis-server") and shutil.which("redis-benchmark"):
        yield from redis(run)


def disk(run):
    directory = peers.temporary_directory("benchmark")
    batch, begin_s, count = RECORD * 1_000, time.monotonic(), 0
    with Preallocated(directory / "batch") as file:
        while time.monotonic() - begin_s < run.options.seconds:
            file.append(batch)
            count += 1_000
    yield "disk-batch", count / (time.monotonic() - begin_s)
    yield "disk-sync-p50", statistics.median(synced_us(directory / "sync", run.options.seconds))
    writer = threading.Thread(target=write_large, args=(directory / "large", run.nodes * 200))
    writer.start()
    yield "disk-sync-worst", max(synced_us(directory / "beside", 2 * run.options.seconds)) / 1e3
    writer.join()


def synced_us(path, seconds):
    times_us, end_s = [], time.monotonic() + seconds
    with Preallocated(path) as file:
        while time.monotonic() < end_s:
            begin_ns = time.monotonic_ns()
            file.append(RECORD)
            times_us.append((time.monotonic_ns() - begin_ns) / 1e3)
    return times_us


class Preallocated:
    """A file full of zeros, so that a sync has no more to do than to write the data; it begins again at its end."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.file = os.open(self.path, os.O_CREAT | os.O_RDWR)
        for _ in range(FILE_BYTES // len(CHUNK)):
            os.write(self.file, bytes(len(CHUNK)))
        os.fsync(self.file)
        self.at = 0
        return self

    def append(self, data):
        if self.at + len(data) > FILE_BYTES:
            self.at = 0
        os.pwrite(self.file, data, self.at)
        os.fdatasync(self.file)
        self.at += len(data)

    def __exit__(self, *_):
        os.close(self.file)
        self.path.unlink()


def write_large(path, size):
    with open(path, "wb") as file:
        for _ in range(size // len(CHUNK)):
            file.write(CHUNK)
        file.flush()
        os.fsync(file.fileno())
    path.unlink()


def redis(run):
    port, directory = peers.free_port(), peers.temporary_directory("benchmark")
    server = peers.spawn(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly",
                          "no", "--dir", str(directory)], stdout=subprocess.DEVNULL)
    try:
        until(lambda: listens(port), 20, "redis-server")
        redis_benchmark(port, "set", 50_000, 64, 32)
        count = 100_000 * run.options.seconds
        yield "redis-get", float(redis_benchmark(port, "get", 4 * count, 64, 32)["rps"])
        yield "redis-get-p50", float(redis_benchmark(port, "get", count // 5, 1, 1)["p50_latency_ms"]) * 1e3
    finally:
        server.kill()
        server.wait()


def redis_benchmark(port, operation, count, clients, pipeline):
    command = ["redis-benchmark", "-p", str(port), "-t", operation, "-n", str(count), "-c", str(clients), "-P",
               str(pipeline), "-d", str(len(RECORD)), "-r", "1000", "--csv", "--precision", "3"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=300)
    return next(csv.DictReader(io.StringIO(done.stdout)))


def listens(port):
    try:
        return "PONG" in peers.four_letter_word(port, "PING\r\nQUIT\r\n")
    except OSError:
        return False


RECORD, CHUNK = b"x" * 1024, b"x" * (1024 * 1024)
FILE_BYTES = 64 * 1024 * 1024
