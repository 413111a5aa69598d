#!/usr/bin/env python3
"""Our tools for logs and snapshots beside Java's, on the same files, byte for byte.

    files.py

Java's LogFormatter, TxnLogToolkit and SnapshotFormatter of 3.4.14 read what a Java
server and an oxkeeper server have written (thousands of children, multis, errors,
ACLs, ephemerals, odd names), and logs that were spoilt: wrong checksums, ends within
a record, a record without its end mark. Then two data directories are compared that
differ in one transaction.
"""

import shutil
import subprocess
import sys

import peers
import wire

JAVA = {
    "log-formatter": "org.apache.zookeeper.server.LogFormatter",
    "txnlog": "org.apache.zookeeper.server.persistence.TxnLogToolkit",
    "snapshot": "org.apache.zookeeper.server.SnapshotFormatter",
}
FIXTURES = peers.REPOSITORY / "tests/data/java-3.4.14/data"
results = {"passed": 0, "failed": 0}


def main():
    directory = peers.temporary_directory("files")
    material = {"fixtures": FIXTURES}
    for kind in ("java", "oxkeeper"):
        material[kind] = write_material(kind, directory / kind)
    for name, files in material.items():
        logs, snapshots = sorted(files.glob("log.*")), sorted(files.glob("snapshot.*"))
        check(f"{name} has logs and snapshots", len(logs) > 0 and len(snapshots) > 1, files)
        for path in logs[:2]:
            alike("log-formatter", [path])
            alike("txnlog", [path])
        for path in snapshots[-2:]:
            alike("snapshot", [path])
    spoilt_logs(directory, sorted(FIXTURES.glob("log.*"))[0])
    bad_files(directory)
    comparison(directory, material["java"])
    quiet_pipe(material["java"])
    print(f"{results['passed']} passed, {results['failed']} failed")
    return 1 if results["failed"] else 0


def write_material(kind, data_dir):
    """Everything a log and a snapshot can hold; gives the version-2 directory."""
    with peers.Server(kind, data_dir, config=["snapCount=400", "preAllocSize=256"]) as server:
        client, other = wire.Client(server.port), wire.Client(server.port)
        client.create("/wide", b"w")
        for number in range(1300):
            client.create(f"/wide/{'child' if number % 3 else 'Kind-ä'}-{number * 7919 % 10007}", b"")
        client.create("/deep", b"\x00\x7f\x80\xff")
        path = "/deep"
        for number in range(40):
            path += f"/{number}"
            client.create(path, bytes([number]))
        client.create("/odd, } % name", b"x" * 3000)
        client.create("/sequence-", b"", flags=wire.SEQUENTIAL)
        for number in range(9):
            (client, other)[number % 2].create(f"/ephemeral-{number}", b"", flags=wire.EPHEMERAL)
        client.create("/acl", b"", acl=[(1, "world", "anyone"), (31, "digest", "ann:+7K83Ph=")])
        client.set_acl("/deep", [(31, "ip", "127.0.0.1"), (31, "world", "anyone")])
        client.set("/deep", b"again")
        client.multi(("create", "/multi", b"m"), ("set", "/multi", b"n"), ("delete", "/multi"))
        for refused in (("delete", "/none"), ("create", "/wide", b"")):
            try:
                client.multi(("set", "/deep", b"not"), refused)
            except wire.Refused:
                pass
        for number in range(300):
            client.set("/wide", str(number).encode())
        other.close()
        client.delete("/sequence-0000000003") if client.exists("/sequence-0000000003") else None
        client.abandon()
        peers.wait_until(
            lambda: len(list((data_dir / "version-2").glob("snapshot.*"))) > 1, 30, "a snapshot"
        )
    return data_dir / "version-2"


def spoilt_logs(directory, log):
    """Wrong sums, and ends where none should be: what Java can read, we print alike."""
    whole = log.read_bytes()
    places = records(whole)
    wrong_sums = bytearray(whole)
    for begin, _ in (places[3], places[7], places[-1]):
        wrong_sums[begin + 7] ^= 0x55
    wrong_data = bytearray(whole)
    # The time of a transaction: it can be read, and is another.
    wrong_data[places[5][0] + 12 + 24 + 3] ^= 0x01
    unmarked = bytearray(whole)
    unmarked[places[4][1] - 1] = 0x58
    cut = whole[: places[6][0] + 20]
    for name, data, words, answers in (
        ("sums", wrong_sums, [], ""),
        ("data", wrong_data, ["-d"], ""),
        ("unmarked", unmarked, [], ""),
        ("cut", cut, [], ""),
        ("mended", wrong_sums, ["-r", "-y"], ""),
        ("mended-verbose", wrong_data, ["--recover", "--yes", "--verbose"], ""),
        ("asked", wrong_sums, ["-r"], "y\nx\nn\nYes\n"),
        ("aborted", wrong_sums, ["-r"], "y\nA\n"),
    ):
        path = directory / f"log.{name}"
        path.write_bytes(data)
        alike("txnlog", words + [path], answers, fixed=path.with_name(path.name + ".fixed"))
        check(f"{name}: the log is as it was", path.read_bytes() == bytes(data), path)
        if not words:
            alike("log-formatter", [path], codes=False)


def bad_files(directory):
    """Words and files that are wrong: a message and a code, and no traces."""
    foreign = directory / "foreign"
    foreign.write_bytes(b"This is no log, but long enough to have a header.")
    fixed = directory / "log.fixture"
    shutil.copy(sorted(FIXTURES.glob("log.*"))[0], fixed)
    (directory / "log.fixture.fixed").write_bytes(b"precious")
    for words, code, text in (
        (["txnlog"], 1, "TXN log file name missing"),
        (["txnlog", "-z", fixed], 1, "Invalid argument: z"),
        (["txnlog", "none"], 1, "File doesn't exist or not readable: none"),
        (["txnlog", foreign], 2, "Invalid magic number for foreign"),
        (["txnlog", "-r", "-y", fixed], 1, "already exists"),
        (["txnlog", directory], 1, "doesn't exist or not readable"),
        (["log-formatter"], 2, "USAGE"),
        (["log-formatter", foreign], 2, "Invalid magic number"),
        (["snapshot", foreign], 14, "magic number"),
        (["snapshot", directory / "none"], 14, "No such file"),
        (["snapshot"], 2, "USAGE"),
        (["compare", "one"], 2, "two data directories"),
        (["compare", "none", "none"], 14, "none"),
    ):
        out, err, found = run(ours(words))
        check(f"{words}", found == code and text in err, (found, err))
    check("nothing is overwritten", (directory / "log.fixture.fixed").read_bytes() == b"precious", "")
    check("no part is left", not list(directory.glob("*.part")), "")


def comparison(directory, version):
    """Two copies of one directory, and then one of them goes its own way."""
    copies = [directory / "copy-1", directory / "copy-2"]
    for copy in copies:
        shutil.copytree(version, copy / "version-2")
    before = {path: path.read_bytes() for copy in copies for path in copy.rglob("*") if path.is_file()}
    out, err, code = run(ours(["compare", *copies]))
    check("equal directories", code == 0 and "No difference found." in out, (code, out, err))
    after = {path: path.read_bytes() for copy in copies for path in copy.rglob("*") if path.is_file()}
    check("comparing changes nothing", before == after, "")
    for copy, data in ((copies[0], b"one"), (copies[1], b"other")):
        with peers.Server("java", copy) as server:
            client = wire.Client(server.port)
            client.set("/deep/0", data)
            client.close()
    out, err, code = run(ours(["compare", *copies]))
    wanted = ("the first difference is zxid 0x", "/deep/0: ", "They differ.")
    check("different directories", code == 1 and all(text in out for text in wanted), (code, out, err))


def quiet_pipe(version):
    """`| head` ends quietly, a full disk with a message."""
    log = sorted(version.glob("log.*"))[0]
    command = " ".join(map(str, ours(["txnlog", log])))
    shell = subprocess.run(
        ["bash", "-c", f"{command} | head -1; echo ${{PIPESTATUS[0]}}; {command} >/dev/full; echo $?"],
        capture_output=True, text=True,
    )
    lines = shell.stdout.splitlines()
    check("a pipe that closes", lines[1:] == ["0", "1"], (lines, shell.stderr))
    check("a full disk", shell.stderr.count("\n") == 1 and "cannot write" in shell.stderr, shell.stderr)


def records(log):
    """Where each record begins and ends."""
    places, at = [], 16
    while at + 12 < len(log):
        length = int.from_bytes(log[at + 8 : at + 12], "big")
        if length == 0:
            break
        places.append((at, at + 12 + length + 1))
        at = places[-1][1]
    return places


def alike(tool, words, answers="", fixed=None, codes=True):
    """Runs Java's tool and ours; stdout must be the same bytes, and the repaired copy
    but for the zeros that Java reserves behind it."""
    found = []
    for command in (peers.java_command(JAVA[tool], map(str, words)), ours([tool, *words])):
        out, err, code = run(command, answers)
        copy = fixed.read_bytes().rstrip(b"\0") if fixed and fixed.exists() else None
        if fixed:
            fixed.unlink(missing_ok=True)
        # A copy that was given up is not left behind by ours.
        aborted = "aborted" in err
        found.append((out, code if codes else None, None if aborted else copy))
    name = f"{tool} {' '.join(str(word) for word in words)}"
    if found[0] == found[1]:
        results["passed"] += 1
        return
    results["failed"] += 1
    print(f"FAILED {name}: exit codes {found[0][1]} and {found[1][1]}")
    pairs = zip(found[0][0].splitlines(), found[1][0].splitlines())
    print(next((f"  java: {one!r}\n  ours: {other!r}" for one, other in pairs if one != other), "  (ends)"))


def ours(words):
    return [peers.oxkeeper_binary(), *map(str, words)]


def run(command, answers=""):
    done = subprocess.run(list(command), input=answers, capture_output=True, text=True, timeout=120)
    return done.stdout, done.stderr, done.returncode


def check(name, good, found):
    results["passed" if good else "failed"] += 1
    if not good:
        print(f"FAILED {name}: {found}")


if __name__ == "__main__":
    sys.exit(main())
