#!/usr/bin/env python3
"""Captures the data directory of a standalone Java 3.4.14, and what it says it holds.

    python capture.py            (with the packages of tests/interop/install.sh)

Writes beside itself: `data/`, the files as SIGKILL left them (logs padded in
steps of 2 KiB, snapshots taken about every 30 transactions, while it wrote),
and `expected.txt`, the tree as the server told it to a client, node by node.
"""

import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "interop"))

import peers  # noqa: E402
from kazoo.client import KazooClient  # noqa: E402
from kazoo.exceptions import KazooException  # noqa: E402
from kazoo.security import make_acl, make_digest_acl  # noqa: E402

STAT = "czxid mzxid ctime mtime version cversion aversion ephemeralOwner dataLength numChildren pzxid"


def main():
    directory = peers.temporary_directory("capture")
    server = peers.Server(
        "java",
        directory,
        config=["snapCount=30", "preAllocSize=2"],
        properties=["zookeeper.preAllocSize=2", "zookeeper.snapCount=30"],
    ).start()
    one, two = (KazooClient(server.address, timeout=40) for _ in range(2))
    one.start()
    two.start()
    one.add_auth("digest", "user:secret")
    write(one, two)
    (HERE / "expected.txt").write_text("\n".join(tell(one)) + "\n")
    server.kill()
    shutil.rmtree(HERE / "data", ignore_errors=True)
    shutil.copytree(directory / "version-2", HERE / "data")


def write(one, two):
    digest = make_digest_acl("user", "secret", all=True)
    for number in range(12):
        one.create(f"/node-{number}", f"data {number}".encode())
    one.create("/secret", b"s", acl=[digest])
    one.create("/many", b"", acl=[digest, make_acl("world", "anyone", read=True)])
    one.create("/ümläut ☃", "grüße 😀".encode())
    one.create("/empty", b"")
    one.create("/parent", b"p")
    for number in range(40):
        one.create("/parent/seq-", str(number).encode(), sequence=True)
        one.set("/node-0", f"version {number + 1}".encode())
    for number in range(0, 40, 3):
        one.delete(f"/parent/seq-{number:010}")
    one.create("/mine", b"e", ephemeral=True)
    two.create("/parent/yours", b"e", ephemeral=True)
    two.create("/parent/yours-", b"e", ephemeral=True, sequence=True)
    one.set_acls("/node-1", [make_acl("ip", "127.0.0.1", read=True), make_acl("world", "anyone", all=True)])
    one.set("/node-2", bytes(range(256)) * 20)
    good = one.transaction()
    good.check("/node-3", 0)
    good.create("/multi", b"m")
    good.create("/multi/child-", b"c", sequence=True)
    good.set_data("/node-3", b"by multi")
    good.delete("/node-4")
    good.commit()
    bad = one.transaction()
    bad.create("/never", b"")
    bad.delete("/missing")
    bad.commit()
    for failing in (lambda: one.create("/node-0", b""), lambda: one.delete("/node-0", version=0)):
        try:
            failing()
        except KazooException:
            pass
    one.create("/zookeeper/quota/parent", b"")
    one.create("/zookeeper/quota/parent/zookeeper_limits", b"count=5,bytes=-1")
    one.create("/zookeeper/quota/parent/zookeeper_stats", b"count=0,bytes=0")
    one.create("/parent/counted", b"12345")
    two.stop()


def tell(client):
    waiting = ["/"]
    while waiting:
        path = waiting.pop()
        data, stat = client.get(path)
        acls, _ = client.get_acls(path)
        children = sorted(client.get_children(path))
        waiting.extend(("" if path == "/" else path) + "/" + name for name in reversed(children))
        fields = " ".join(str(getattr(stat, name)) for name in STAT.split())
        acl = ",".join(f"{acl.perms}:{acl.id.scheme}:{acl.id.id}" for acl in acls)
        yield f"{path}|{(data or b'').hex()}|{fields}|{acl}"


if __name__ == "__main__":
    main()
