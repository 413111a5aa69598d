#!/usr/bin/env python3
"""The operations that clients of 3.5 to 3.9 ask for, on Java 3.9.3 and on oxkeeper.

    newer_operations.py [one [other]]     kinds of server, default: java-3.9 oxkeeper
    newer_operations.py --show java-3.9   prints the answers of one server

Every case is a function below; what its requests are answered, events included,
must be the same on both servers. Times are left out, and zxids are counted from
the case's first.
"""

import struct
import sys
import time

import peers
import wire
from wire import EPHEMERAL, READ_ACL, SEQUENTIAL

CREATE, DELETE, GET_DATA, SET_DATA, GET_CHILDREN, CHECK, MULTI = 1, 2, 4, 5, 8, 13, 14
CREATE2, RECONFIG, CHECK_WATCHES, REMOVE_WATCHES, MULTI_READ = 15, 16, 17, 18, 22
CREATE_CONTAINER, CREATE_TTL = 19, 21
GET_EPHEMERALS, GET_ALL_CHILDREN_NUMBER, SET_WATCHES2, ADD_WATCH, WHO_AM_I = 103, 104, 105, 106, 107
CONTAINER, TTL, SEQUENTIAL_TTL = 4, 5, 6
CHILDREN, DATA, ANY = 1, 2, 3
NODE, SUBTREE = 0, 1


class Newer(wire.Client):
    """A client that says what it is answered as text."""

    def __init__(self, port, lines):
        super().__init__(port, 30000)
        self.port = port
        self.lines = lines

    def ask(self, what, operation, body=b"", read=lambda reader: ""):
        try:
            reader = self._call(operation, body, what)
            answer = read(reader)
            rest = reader.data[reader.at :]
            line = f"{answer} {rest.hex()}".strip()
        except wire.Refused as refused:
            line = f"error {refused.code}"
        except ConnectionError:
            line = "closed"
        self.lines.append(f"{what}: {line}")
        self.tell_events()

    def tell_events(self):
        """Events that came before the answer, sorted: Java keeps no order among tables."""
        self.lines += sorted(f"  event {kind} state {state} {path}" for kind, state, path in self.events)
        self.events.clear()

    def settle(self):
        self.ping()
        self.tell_events()


def stat(reader):
    """A stat without times and zxids."""
    found = reader.stat()
    same = found.czxid == found.mzxid, found.mzxid == found.pzxid
    return (
        f"[{same} v{found.version} cv{found.cversion} av{found.aversion}"
        f" {'ephemeral' if found.ephemeral_owner else 'stays'} {found.data_length}B {found.num_children}]"
    )


def path_and_stat(reader):
    return f"{reader.string()} {stat(reader)}"


def create_body(path, data=b"", acl=None, flags=0):
    return wire._create(path, data, acl, flags)


def path_and(path, number):
    return wire._string(path) + struct.pack(">i", number)


def create2(client, lines):
    """The stat of what was made, and the errors of a create."""
    client.ask("plain", CREATE2, create_body("/a", b"data"), path_and_stat)
    client.ask("again", CREATE2, create_body("/a"))
    client.ask("no parent", CREATE2, create_body("/no/parent"))
    client.ask("ephemeral", CREATE2, create_body("/a/e", b"", None, EPHEMERAL), path_and_stat)
    client.ask("below it", CREATE2, create_body("/a/e/x"))
    for _ in range(2):
        client.ask("sequential", CREATE2, create_body("/a/s-", b"12", None, SEQUENTIAL), path_and_stat)
    client.ask("both", CREATE2, create_body("/a/b-", b"", None, EPHEMERAL | SEQUENTIAL), path_and_stat)
    client.ask("null data", CREATE2, create_body("/n", None), path_and_stat)
    client.ask("empty ACL", CREATE2, create_body("/x", b"", []))
    client.ask("bad path", CREATE2, create_body("/x//y"))
    client.ask("read only", CREATE2, create_body("/r", b"", READ_ACL), path_and_stat)
    client.ask("not allowed", CREATE2, create_body("/r/x"))
    client.ask("short", CREATE2, b"\0\0")


def multi_results(reader):
    results = []
    while True:
        kind, done, error = reader._take_all(">i?i")
        if done:
            return f"{results} end {kind} {error}"
        if kind == -1:
            results.append(("error", error, reader.integer()))
        elif kind == CREATE:
            results.append(("create", reader.string()))
        elif kind == CREATE2:
            results.append(("create2", path_and_stat(reader)))
        elif kind == SET_DATA:
            results.append(("set", stat(reader)))
        elif kind == GET_CHILDREN:
            results.append(("children", sorted(reader.strings())))
        elif kind == GET_DATA:
            results.append(("data", reader.buffer(), stat(reader)))
        else:
            results.append((kind, error))


def parts(*operations):
    head = b"".join(struct.pack(">i?i", number, False, -1) + body for number, body in operations)
    return head + struct.pack(">i?i", -1, True, -1)


def create2_in_multi(client, lines):
    client.ask(
        "mixed",
        MULTI,
        parts(
            (CREATE2, create_body("/m", b"x")),
            (CREATE, create_body("/m/1")),
            (CREATE2, create_body("/m/s-", b"abc", None, SEQUENTIAL)),
            (SET_DATA, wire._string("/m") + wire._buffer(b"12345") + struct.pack(">i", 0)),
            (CHECK, path_and("/m", 1)),
            (DELETE, path_and("/m/1", -1)),
        ),
        multi_results,
    )
    client.ask(
        "one part fails",
        MULTI,
        parts((CREATE2, create_body("/f")), (CREATE2, create_body("/m")), (CREATE2, create_body("/g"))),
        multi_results,
    )
    client.ask("nothing was made", GET_CHILDREN, wire._string("/m") + b"\0", lambda r: sorted(r.strings()))


def multi_read(client, lines):
    client.create("/m", b"data")
    client.create("/m/a")
    client.create("/m/b")
    client.create("/hidden", b"", [(31, "digest", "somebody:else")])
    get = lambda path: (GET_DATA, wire._string(path) + b"\0")
    children = lambda path: (GET_CHILDREN, wire._string(path) + b"\0")
    client.ask("some", MULTI_READ, parts(get("/m"), children("/m"), get("/none"), get("/hidden"), children("/m/a")), multi_results)
    client.ask("none", MULTI_READ, parts(), multi_results)
    client.ask("a write", MULTI_READ, parts(get("/m"), (CREATE, create_body("/w"))))
    client.ask("cut", MULTI_READ, parts(get("/m"))[:-3])
    watched = (GET_DATA, wire._string("/m") + b"\1")
    client.ask("sets no watch", MULTI_READ, parts(watched), multi_results)
    client.set("/m", b"new")
    client.settle()


def watches(client, lines):
    """checkWatches and removeWatches, kind by kind."""
    client.create("/w")
    for kind in (CHILDREN, DATA, ANY):
        client.ask(f"check without {kind}", CHECK_WATCHES, path_and("/w", kind))
        client.ask(f"remove without {kind}", REMOVE_WATCHES, path_and("/w", kind))
    for set_them in ((DATA,), (CHILDREN,), (DATA, CHILDREN)):
        for kind in (CHILDREN, DATA, ANY):
            if DATA in set_them:
                client.exists("/w", watch=True)
            if CHILDREN in set_them:
                client.children("/w", watch=True)
            client.ask(f"check {kind} of {set_them}", CHECK_WATCHES, path_and("/w", kind))
            client.ask(f"remove {kind} of {set_them}", REMOVE_WATCHES, path_and("/w", kind))
            client.ask(f"check {kind} of {set_them} then", CHECK_WATCHES, path_and("/w", kind))
            client.ask("what is left", REMOVE_WATCHES, path_and("/w", ANY))
    client.set("/w", b"silent")
    client.create("/w/child")
    client.settle()
    client.ask("bad kind", CHECK_WATCHES, path_and("/w", 9))
    client.ask("bad kind", REMOVE_WATCHES, path_and("/w", 0))
    client.exists("/later", watch=True)
    client.ask("of what is not there", REMOVE_WATCHES, path_and("/later", DATA))
    client.create("/later")
    client.settle()


def persistent(client, lines):
    client.create("/p")
    client.ask("add", ADD_WATCH, path_and("/p", NODE))
    client.ask("add again", ADD_WATCH, path_and("/p", NODE))
    client.ask("bad mode", ADD_WATCH, path_and("/p", 7))
    for round_ in range(2):
        client.set("/p", b"x")
        client.settle()
        client.create("/p/c")
        client.settle()
        client.set("/p/c", b"x")
        client.settle()
        client.delete("/p/c")
        client.settle()
    client.exists("/p", watch=True)
    client.children("/p", watch=True)
    client.delete("/p")
    client.settle()
    client.create("/p")
    client.settle()
    client.ask("check any", CHECK_WATCHES, path_and("/p", ANY))
    client.ask("check data", CHECK_WATCHES, path_and("/p", DATA))
    client.ask("remove data", REMOVE_WATCHES, path_and("/p", DATA))
    client.ask("remove any", REMOVE_WATCHES, path_and("/p", ANY))
    client.set("/p", b"silent")
    client.settle()


def recursive(client, lines):
    client.create("/r")
    client.ask("add", ADD_WATCH, path_and("/r", SUBTREE))
    for round_ in range(2):
        client.create("/r/a")
        client.create("/r/a/b")
        client.set("/r/a/b", b"x")
        client.settle()
        client.delete("/r/a/b")
        client.delete("/r/a")
        client.set("/r", b"x")
        client.settle()
    client.create("/rest")
    client.settle()
    client.ask("also the node", ADD_WATCH, path_and("/r", NODE))
    client.create("/r/c")
    client.settle()
    client.children("/r", watch=True)
    client.exists("/r/c", watch=True)
    client.delete("/r/c")
    client.settle()
    client.ask("the root", ADD_WATCH, path_and("/", SUBTREE))
    client.create("/r/d")
    client.delete("/rest")
    client.settle()
    client.ask("remove the root's", REMOVE_WATCHES, path_and("/", ANY))
    client.ask("remove", REMOVE_WATCHES, path_and("/r", ANY))
    client.create("/r/e")
    client.settle()


def set_watches2(client, lines):
    strings = lambda *paths: struct.pack(">i", len(paths)) + b"".join(map(wire._string, paths))
    client.create("/old")
    client.create("/old/child")
    since = client.zxid
    client.create("/new")
    client.set("/old", b"x")
    body = lambda zxid: (
        struct.pack(">q", zxid)
        + strings("/old", "/new", "/gone") + strings("/new", "/not yet") + strings("/old", "/gone2")
        + strings("/old", "/persistent") + strings("/new", "/recursive")
    )
    client.ask("set", SET_WATCHES2, body(since))
    for path in ("/persistent", "/recursive", "/recursive/deep", "/not yet", "/old/x", "/new/x"):
        client.create(path)
        client.settle()
    client.set("/old", b"again")
    client.set("/old/child", b"again")
    client.set("/new", b"again")
    client.settle()
    client.ask("cut", SET_WATCHES2, body(since)[:40])


def ephemerals(client, lines):
    client.create("/e")
    for name in ("/e/1", "/e/2", "/eel", "/other"):
        client.create(name, b"", None, EPHEMERAL)
    paths = lambda reader: sorted(reader.strings())
    for prefix in ("/", "", "  ", "/e", "/e/", "/none", "e", None):
        body = wire._buffer(None) if prefix is None else wire._string(prefix)
        client.ask(f"below {prefix!r}", GET_EPHEMERALS, body, paths)


def all_children_number(client, lines):
    client.create("/n")
    client.create("/n2")
    for path in ("/n/a", "/n/b", "/n/a/1", "/n/a/2", "/n/a/2/x"):
        client.create(path)
    client.create("/closed", b"", [(31, "digest", "somebody:else")])
    for path in ("/n", "/n/a", "/n/a/2/x", "/none", "/closed", "/n2"):
        client.ask(path, GET_ALL_CHILDREN_NUMBER, wire._string(path), lambda reader: reader.integer())


def who_am_i(client, lines):
    infos = lambda reader: sorted((reader.string(), reader.string()) for _ in range(reader.integer()))
    client.ask("at first", WHO_AM_I, b"", infos)
    client.auth("digest", b"user:secret")
    client.auth("digest", b"other:secret")
    client.ask("with digests", WHO_AM_I, b"", infos)


def ttl_body(path, ttl_ms, flags=TTL, data=b""):
    return create_body(path, data, None, flags) + struct.pack(">q", ttl_ms)


def owner(client, path):
    found = client.exists(path)
    return found and hex(found.ephemeral_owner & (1 << 64) - 1)


def containers(client, lines):
    client.ask("make", CREATE_CONTAINER, create_body("/c", b"x", None, CONTAINER), path_and_stat)
    client.ask("again", CREATE_CONTAINER, create_body("/c", b"", None, CONTAINER))
    client.ask("unused", CREATE_CONTAINER, create_body("/unused", b"", None, CONTAINER), path_and_stat)
    client.ask("nested", CREATE_CONTAINER, create_body("/c/nested", b"", None, CONTAINER), path_and_stat)
    lines.append(f"owners {owner(client, '/c')} {owner(client, '/c/nested')}")
    client.create("/c/nested/child", b"", None, EPHEMERAL)
    client.exists("/c/nested", watch=True)
    client.delete("/c/nested/child")
    until_gone(client, "/c/nested")
    until_gone(client, "/c")
    client.settle()
    lines.append(f"unused {client.exists('/unused') is not None}")


def times_to_live(client, lines):
    client.ask("make", CREATE_TTL, ttl_body("/t", 1000, TTL, b"x"), path_and_stat)
    client.ask("long", CREATE_TTL, ttl_body("/long", (1 << 40) - 1), path_and_stat)
    client.ask("sequential", CREATE_TTL, ttl_body("/t-", 1 << 30, SEQUENTIAL_TTL), path_and_stat)
    lines.append(f"owners {owner(client, '/t')} {owner(client, '/long')}")
    for ttl_ms in (0, -1, 1 << 40, -(1 << 63)):
        client.ask(f"for {ttl_ms}", CREATE_TTL, ttl_body("/x", ttl_ms))
    client.ask("short", CREATE_TTL, create_body("/x", b"", None, TTL))
    client.ask("with a child", CREATE_TTL, ttl_body("/parent", 1000), path_and_stat)
    client.create("/parent/child")
    until_gone(client, "/t")
    time.sleep(1.5)
    lines.append(f"parent {client.exists('/parent') is not None} {client.exists('/long') is not None}")
    client.delete("/parent/child")
    until_gone(client, "/parent")


def newer_multi(client, lines):
    client.ask(
        "all kinds",
        MULTI,
        parts(
            (CREATE_CONTAINER, create_body("/mc", b"", None, CONTAINER)),
            (CREATE_TTL, ttl_body("/mt", 1 << 30)),
            (CREATE, create_body("/mc/child")),
            (DELETE, path_and("/mt", 0)),
        ),
        multi_results,
    )
    client.ask(
        "all or none",
        MULTI,
        parts((CREATE_CONTAINER, create_body("/md", b"", None, CONTAINER)), (CREATE_TTL, ttl_body("/me", 0))),
        multi_results,
    )
    lines.append(f"none {client.exists('/md')}")


def configuration(client, lines):
    client.ask("get", GET_DATA, wire._string("/zookeeper/config") + b"\1", lambda r: (r.buffer(), stat(r)))
    client.ask("children", GET_CHILDREN, wire._string("/zookeeper/config") + b"\0", lambda r: r.strings())
    lines.append(f"acl {client.get_acl('/zookeeper/config')[0]} {client.exists('/zookeeper/config') is not None}")


def until_gone(client, path):
    peers.wait_until(lambda: client.exists(path) is None, 20, f"{path} to be removed")


def hard_quota(client, lines):
    """zookeeper.enforceQuota: what exceeds a hard limit is refused, alone and in a multi."""
    client.create("/hq", b"12")
    client.create("/zookeeper/quota/hq")
    limits = "/zookeeper/quota/hq/zookeeper_limits"
    client.create(limits, b"count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=3")
    client.create("/zookeeper/quota/hq/zookeeper_stats", b"count=0,bytes=0")
    client.ask("one", CREATE, create_body("/hq/1", b"123"), lambda reader: reader.string())
    client.ask("two", CREATE2, create_body("/hq/2", b"123"), path_and_stat)
    client.ask("too many", CREATE, create_body("/hq/3"))
    client.ask("too many containers", CREATE_CONTAINER, create_body("/hq/3", b"", None, CONTAINER))
    client.ask("sequential", CREATE2, create_body("/hq/s-", b"", None, SEQUENTIAL))
    client.ask("exists before the quota", CREATE, create_body("/hq/1", b"x" * 99))
    client.ask("too large", SET_DATA, wire._string("/hq/1") + wire._buffer(b"123456") + struct.pack(">i", 0))
    client.ask("quota before the version", SET_DATA, wire._string("/hq/1") + wire._buffer(b"123456") + struct.pack(">i", 9))
    client.ask("as large", SET_DATA, wire._string("/hq/1") + wire._buffer(b"12345") + struct.pack(">i", 0), stat)
    client.ask("another, as large", SET_DATA, wire._string("/hq/1") + wire._buffer(b"54321") + struct.pack(">i", 1), stat)
    client.ask(
        "in a multi",
        MULTI,
        parts((CREATE, create_body("/elsewhere")), (CREATE, create_body("/hq/3")), (DELETE, path_and("/hq/2", -1))),
        multi_results,
    )
    lines.append(f"used {client.get('/zookeeper/quota/hq/zookeeper_stats')[0]}")
    client.set(limits, b"count=1,bytes=-1=;byteHardLimit=4;countHardLimit=-1")
    client.ask("the count is free", CREATE, create_body("/hq/3"), lambda reader: reader.string())
    client.ask("shrinking, still over", SET_DATA, wire._string("/hq/1") + wire._buffer(b"1234") + struct.pack(">i", -1))
    client.ask("same size", SET_DATA, wire._string("/hq/1") + wire._buffer(b"abcde") + struct.pack(">i", -1), stat)
    client.set(limits, b"count=1,bytes=1")
    client.ask("soft only", CREATE, create_body("/hq/4", b"x" * 20), lambda reader: reader.string())
    lines.append(f"used {client.get('/zookeeper/quota/hq/zookeeper_stats')[0]}")
    for name in ("zookeeper_limits", "zookeeper_stats"):
        client.delete(f"/zookeeper/quota/hq/{name}")


def watches_ask_the_list(client, lines):
    """Events of watches that stay go to those alone who may read what they tell of. (3.9.2)"""
    owner = wire.Client(client.port)
    owner.auth("digest", b"owner:secret")
    hidden = [(31, "auth", "")]
    client.create("/open")
    client.ask("subtree", ADD_WATCH, path_and("/open", SUBTREE))
    client.ask("node", ADD_WATCH, path_and("/open/hidden", NODE))
    client.ask("children of it", ADD_WATCH, path_and("/open/half", NODE))
    owner.create("/open/hidden", b"", hidden)
    owner.create("/open/hidden/open")
    owner.set("/open/hidden", b"x", -1)
    client.settle()
    owner.create("/open/half", b"", [(31, "auth", ""), (4, "world", "anyone")])
    owner.create("/open/half/open")
    owner.create("/open/half/hidden", b"", hidden)
    owner.delete("/open/half/hidden")
    client.settle()
    owner.set_acl("/open/hidden", wire.OPEN_ACL)
    owner.set("/open/hidden", b"y", -1)
    client.settle()
    owner.set_acl("/open/hidden", hidden)
    owner.delete("/open/hidden/open")
    owner.delete("/open/hidden")
    client.settle()
    client.auth("digest", b"owner:secret")
    owner.create("/open/hidden", b"", hidden)
    owner.delete("/open/hidden")
    client.settle()
    owner.close()


def reconfig(client, lines):
    """Answered, not hung up on; the configuration does not change."""
    text = wire._string
    client.ask("add a member", RECONFIG, text("server.2=a:1:2;3") + text("") + text("") + struct.pack(">q", -1))
    client.ask("short", RECONFIG, b"\0")
    client.ask("nothing", RECONFIG)
    client.settle()


CASES = [
    configuration, hard_quota, watches_ask_the_list, reconfig, containers, times_to_live, newer_multi,
    create2, create2_in_multi, multi_read, watches, persistent, recursive, set_watches2, ephemerals,
    all_children_number, who_am_i,
]


def record(kind):
    """(name, answers) of each case, each on a server of its own data."""
    properties = ["znode.container.checkIntervalMs=300", "zookeeper.enforceQuota=true"]
    with peers.Server(kind, peers.temporary_directory("data"), properties=properties) as server:
        for case in CASES:
            lines = []
            client = Newer(server.port, lines)
            try:
                case(client, lines)
            except (ConnectionError, wire.Refused, AssertionError) as error:
                lines.append(f"ended by {error!r}")
            yield case.__name__, lines
            tidy_up(server.port)


def tidy_up(port):
    with_rights = wire.Client(port)
    def remove(path):
        for name in with_rights.children(path):
            child = f"{path.rstrip('/')}/{name}"
            if child != "/zookeeper":
                try:
                    remove(child)
                    with_rights.delete(child)
                except wire.Refused:
                    pass
    remove("/")
    with_rights.abandon()


def digests_are_equal():
    """The word hash: what oxkeeper has counted as it went, Java counts from its files."""
    properties = ["zookeeper.digest.enabled=true"]
    directory = peers.temporary_directory("digests")
    with peers.Server("oxkeeper", directory, properties=properties) as server:
        client = wire.Client(server.port)
        client.create("/a", b"x")
        for number in range(120):
            client.create(f"/a/\u20ac-{number}", b"", flags=number % 2)
            client.set("/a", b"y" * number)
            client.set_acl("/a", [(31, "world", "anyone")])
            if number % 3 == 0:
                client.delete(f"/a/\u20ac-{number}")
        client.close()
        found = server.word("hash")
        server.stop()
    with peers.Server("java-3.9", directory, properties=[*properties, "zookeeper.snapshot.trust.empty=true"]) as server:
        wanted = server.word("hash")
    if found == wanted and found.count("\n") > 1:
        return True
    print(f"FAILED the word hash:\n  java-3.9: {wanted!r}\n  oxkeeper: {found!r}")
    return False


def main():
    arguments = sys.argv[1:]
    if arguments[:1] == ["--show"]:
        for name, lines in record(arguments[1]):
            print(f"{name}:", *lines, sep="\n    ")
        return 0
    one, other = (arguments + ["java-3.9", "oxkeeper"][len(arguments) :])[:2]
    equal = digests_are_equal()
    passed, failed = int(equal), int(not equal)
    for (name, wanted), (_, found) in zip(record(one), record(other)):
        length = max(len(wanted), len(found))
        pairs = zip(wanted + [None] * (length - len(wanted)), found + [None] * (length - len(found)))
        wrong = [(w, f) for w, f in pairs if w != f]
        passed += length - len(wrong)
        failed += len(wrong)
        for w, f in wrong[:8]:
            print(f"FAILED {name}:\n  {one}: {w}\n  {other}: {f}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
