#!/usr/bin/env python3
"""What a client may send wrongly, byte for byte, to two servers.

    raw_frames.py [one [other]]     kinds of server, default: java oxkeeper
    raw_frames.py --show java       prints the answers of one server

Each case is a connection of its own: a handshake, then frames. Compared are all
frames that come back, whether the server closed, and whether a ping sent after
the last frame was answered. Times, session ids and passwords are replaced. The
cases of OURS are those where 3.4.14 harms itself (it never answers, loops, or
cannot start again); they run on oxkeeper alone, which must stay well.
"""

import re
import socket
import struct
import sys
import time

import peers
import wire

MAX_FRAME = 0xFFFFF
SESSION_MS = 300000
# A zxid too many makes all later answers differ; the first ones tell why.
SHOWN = 20
UNIMPLEMENTED = -6
CLOSING = ("closeSession", "operation -11,")
NAMES_ANSWERED = ("getChildren", "operation 8,", "operation 12,")


# Where oxkeeper's answer is another one, and harmless: a path of null is unreadable
# everywhere, not a bad argument or even fine for some; text goes out as UTF-8, also
# beyond the BMP, where Java writes six bytes.
KNOWN = {
    "setData: path null": "xid 1 err -5 | alive",
    "setACL: path null": "xid 1 err -5 | alive",
    "sync: path null": "xid 1 err -5 | alive",
    "multi: path null": "xid 1 err -5 | alive",
    "sync: path beyond the BMP": "xid 1 err 0 000000052ff09f82a1 | alive",
    "sync: path lone surrogate": "xid 1 err 0 0000000a2fefbfbdefbfbdefbfbd | alive",
}


def main():
    arguments = sys.argv[1:]
    if arguments[:1] == ["--show"]:
        for name, answer in record(arguments[1]):
            print(f"{name}: {answer}")
        return 0
    one, other = (arguments + ["java", "oxkeeper"][len(arguments) :])[:2]
    passed = failed = 0
    for (name, wanted), (_, found) in zip(record(one), record(other)):
        if other == "oxkeeper" and name in KNOWN:
            wanted = KNOWN[name]
            found = re.sub("^.* secret . |zxid 0x[0-9a-f]+ ", "", found)
        if wanted == found:
            passed += 1
        else:
            failed += 1
            if failed <= SHOWN:
                print(f"FAILED {name}:\n  {one}: {wanted[:500]}\n  {other}: {found[:500]}")
    if "oxkeeper" in (one, other):
        for name, problem in ours():
            passed += not problem
            failed += bool(problem)
            if problem:
                print(f"FAILED {name}: {problem}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def record(kind):
    """(name, answers) of each case, on one server."""
    with fresh_server(kind) as server:
        maker = wire.Client(server.port, SESSION_MS)
        maker.create("/a", b"data")
        maker.create("/a/b", b"")
        # Whose session others try to take; the attempt alone disconnects it.
        victim = wire.Client(server.port, SESSION_MS)
        results = []
        for name, handshake, frames in cases(victim):
            results.append((name, exchange(server, name, handshake, frames)))
        # After all that, a well-behaved client is served as before.
        maker.set("/a", b"still here")
        return results


def fresh_server(kind):
    return peers.Server(
        kind,
        peers.temporary_directory("data"),
        # No session may end by itself within a run: its end would take a zxid.
        config=[
            f"minSessionTimeout={SESSION_MS // 2}", f"maxSessionTimeout={SESSION_MS * 2}",
            "maxClientCnxns=0",
        ],
    ).start()


def exchange(server, name, handshake, frames):
    """Sends everything; gives what comes back as one line of text."""
    silent = frames and frames[-1] is None
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
        begin = time.time()
        answers = Answers(sock, begin, name)
        try:
            sock.sendall(handshake)
            if frames:
                answers.handshake()
            for frame in frames:
                if frame is not None:
                    sock.sendall(frame)
            if silent:
                # Nothing is to come. Half a second without a byte is taken for that.
                sock.settimeout(0.5)
            elif frames or not handshake:
                sock.sendall(request(wire.PING_XID, 11))
            answers.rest(until_ping=bool(frames) and not silent)
        except (ConnectionResetError, BrokenPipeError):
            answers.add("closed")
        except socket.timeout:
            answers.add("open, silent")
        return " | ".join(answers.texts)


class Answers:
    def __init__(self, sock, begin, name):
        self.sock = sock
        self.begin_ms = int(begin * 1000) - 3600_000
        self.name = name
        self.texts = []
        self.shook_hands = False

    def add(self, text):
        self.texts.append(text)

    def handshake(self):
        frame = self._frame()
        if frame is None:
            raise ConnectionResetError
        self.shook_hands = True
        self.add(self._connect_reply(frame))

    def rest(self, until_ping):
        while True:
            frame = self._frame()
            if frame is None:
                self.add("closed")
                return
            if not self.shook_hands:
                self.shook_hands = True
                self.add(self._connect_reply(frame))
                if frame[4:8] != bytes(4):
                    return
                continue
            xid, zxid, error = struct.unpack_from(">iqi", frame)
            if xid == wire.PING_XID and until_ping:
                self.add("alive")
                return
            if error == UNIMPLEMENTED or self.name.startswith(CLOSING):
                # The server closes next; whether it sees the ping before is chance.
                until_ping = False
                self.sock.settimeout(5)
            if xid == wire.PING_XID:
                continue
            self.add(f"xid {xid} zxid {zxid:#x} err {error} {self._body(frame[16:])}".strip())

    def _connect_reply(self, frame):
        version, timeout_ms, session = struct.unpack_from(">iiq", frame)
        known = "a session" if session else "no session"
        password = "zeros" if not any(frame[20:36]) else "secret"
        return f"connected {len(frame)} bytes: {version} {timeout_ms} {known} {password}"

    def _body(self, body):
        """Hex, but for the milliseconds of now. Java keeps names in a hash set."""
        text, at = "", 0
        if self.name.startswith(NAMES_ANSWERED) and body:
            reader = wire.Reader(body)
            text, at = f"{sorted(reader.strings())} ", reader.at
        while at < len(body):
            if at + 8 <= len(body):
                (value,) = struct.unpack_from(">q", body, at)
                if self.begin_ms < value < self.begin_ms + 2 * 3600_000:
                    text += "<time>"
                    at += 8
                    continue
            text += f"{body[at]:02x}"
            at += 1
        return text

    def _frame(self):
        head = self._exactly(4)
        if head is None:
            return None
        return self._exactly(struct.unpack(">i", head)[0])

    def _exactly(self, length):
        data = b""
        while len(data) < length:
            try:
                part = self.sock.recv(length - len(data))
            except ConnectionResetError:
                return None
            if not part:
                return None
            data += part
        return data


# ---- what is sent ----


def framed(body):
    return struct.pack(">i", len(body)) + body


def request(xid, operation, body=b""):
    return framed(struct.pack(">ii", xid, operation) + body)


def integer(value):
    return struct.pack(">i", value)


def long(value):
    return struct.pack(">q", value)


def buffer(data):
    return integer(len(data)) + data


def string(text):
    return buffer(text.encode())


ACL = integer(1) + integer(31) + string("world") + string("anyone")
NULL = integer(-1)
HUGE = integer(0x7FFFFFFF)


def connect(version=0, zxid=0, timeout_ms=SESSION_MS, session=0, password=buffer(bytes(16)), end=b"\0"):
    return framed(struct.pack(">iqiq", version, zxid, timeout_ms, session) + password + end)


def cases(victim):
    """(name, bytes of the handshake, frames after it). A last frame of None says
    that no answer is expected and the connection stays open."""
    yield from handshakes(victim)
    yield from framing()
    yield from operations()
    yield from strings_and_vectors()
    yield from creates()
    yield from multis()
    yield from auths_and_watches()


def handshakes(victim):
    session, password = victim.session
    for name, handshake in (
        ("no read-only byte", connect(end=b"")),
        ("read-only wished", connect(end=b"\1")),
        ("read-only byte is 2", connect(end=b"\2")),
        ("three bytes more", connect(end=b"\0\0\0")),
        ("version 7", connect(version=7)),
        ("version -1", connect(version=-1)),
        ("empty password", connect(password=buffer(b""))),
        ("short password", connect(password=buffer(b"abc"))),
        ("long password", connect(password=buffer(bytes(100)))),
        ("password longer than the frame", connect(password=integer(1000) + bytes(16))),
        ("password of huge length", connect(password=HUGE + bytes(16))),
        ("password of length -5", connect(password=integer(-5))),
        ("zxid from the future", connect(zxid=0x7FFFFFFFFFFFFFFF)),
        ("zxid -1", connect(zxid=-1)),
        ("timeout 0", connect(timeout_ms=0)),
        ("timeout -1", connect(timeout_ms=-1)),
        ("timeout of 24 days", connect(timeout_ms=0x7FFFFFFF)),
        ("unknown session", connect(session=0x1234, password=buffer(password))),
        ("unknown session, no read-only byte", connect(session=0x1234, end=b"")),
        ("session -1", connect(session=-1)),
        ("own session, wrong password", connect(session=session)),
        ("own session, short password", connect(session=session, password=buffer(password[:8]))),
        ("half a body", framed(bytes(10))),
        ("a body of nothing", framed(b"")),
        ("length -1", integer(-1)),
        ("length of the least integer", integer(-0x80000000)),
        ("length one too many", integer(MAX_FRAME + 1)),
        ("a greatest frame of zeros", integer(MAX_FRAME) + bytes(MAX_FRAME)),
        ("another protocol", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("another protocol in binary", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ):
        yield f"handshake: {name}", handshake, []


def framing():
    good = request(1, 3, string("/a") + b"\0")
    for name, frames in (
        ("two requests in one piece", [good + request(2, 3, string("/none") + b"\0")]),
        ("a request byte by byte", [good[at : at + 1] for at in range(len(good))]),
        ("half a frame", [good[:-1], None]),
        ("half a length", [good[:2], None]),
        ("length -1", [integer(-1)]),
        ("length one too many", [integer(MAX_FRAME + 1)]),
        ("a body of nothing", [framed(b"")]),
        ("a body of three bytes", [framed(b"abc")]),
        ("a xid without operation", [framed(integer(1))]),
        ("a four-letter word within a session", [b"ruok"]),
        ("a second handshake", [connect()]),
        ("bytes after the body", [request(1, 3, string("/a") + b"\0" + b"more")]),
        ("a xid of zero", [request(0, 3, string("/a") + b"\0")]),
        ("a xid of -1", [request(-1, 3, string("/a") + b"\0")]),
        ("a xid of -8", [request(-8, 3, string("/a") + b"\0")]),
        ("the same xid twice", [good, good]),
        ("xids downwards", [request(9, 11), request(3, 11), good]),
    ):
        yield f"frame: {name}", connect(), frames


def operations():
    for number in list(range(-12, 26)) + list(range(98, 110)) + [999, 0x7FFFFFFF, -0x80000000]:
        if number in NEWER:
            continue
        if number != CHECK:
            yield f"operation {number}, empty body", connect(), [request(1, number)]
        if number not in (CHECK, CREATE_SESSION):
            yield f"operation {number}, a path", connect(), [request(1, number, string("/a"))]


# A top-level check is never answered by 3.4.14, and its log can't be read again. A
# client's own createSession makes it start the session anew, with a timeout
# read from whatever the body holds; oxkeeper knows no such request of a client.
CHECK, CREATE_SESSION = 13, -10
# What 3.4.14 knows nothing of, and oxkeeper does: see newer_operations.py.
NEWER = (15, 16, 17, 18, 19, 21, 22, 103, 104, 105, 106, 107)


def strings_and_vectors():
    bodies = {
        "create": (1, lambda path: path + buffer(b"x") + ACL + integer(0)),
        "delete": (2, lambda path: path + integer(-1)),
        "exists": (3, lambda path: path + b"\0"),
        "getData": (4, lambda path: path + b"\0"),
        "setData": (5, lambda path: path + buffer(b"x") + integer(-1)),
        "getACL": (6, lambda path: path),
        "setACL": (7, lambda path: path + ACL + integer(-1)),
        "getChildren": (8, lambda path: path + b"\0"),
        "sync": (9, lambda path: path),
        "getChildren2": (12, lambda path: path + b"\0"),
    }
    paths = {
        "null": NULL, "empty": string(""), "relative": string("a"), "ends in a slash": string("/a/"),
        "two slashes": string("//a"), "dots": string("/a/../a"), "a dot": string("/."),
        "NUL": string("/a\0b"), "control": string("/a\x01"), "unit separator": string("/\x1f"),
        "delete sign": string("/\x7f"), "C1": string("/\x85"), "private use": string("/\uf000"),
        "specials": string("/\ufff5"), "beyond the BMP": string("/\U0001f0a1"),
        "not UTF-8": buffer(b"/\xff\xfe"), "cut UTF-8": buffer(b"/\xc3"),
        "lone surrogate": buffer(b"/\xed\xa0\x80"), "overlong": buffer(b"/\xc0\xaf"),
        "root": string("/"), "system": string("/zookeeper"), "none": string("/none"),
        "none below": string("/none/x"), "length -2": integer(-2), "huge length": HUGE,
        "longer than the frame": integer(100) + b"/a", "of 100 kB": string("/" + "x" * 100000),
    }
    for operation, (number, body) in bodies.items():
        for name, path in paths.items():
            yield f"{operation}: path {name}", connect(), [request(1, number, body(path))]
        whole = body(string("/a"))
        for length in range(0, len(whole), 3):
            yield f"{operation}: {length} bytes of it", connect(), [request(1, number, whole[:length])]


def creates():
    def create(path="/new", data=buffer(b"x"), acl=ACL, flags=0):
        return [request(1, 1, string(path) + data + acl + integer(flags))]

    def entry(perms=31, scheme=string("world"), name=string("anyone")):
        return integer(1) + integer(perms) + scheme + name

    for name, frames in (
        [(f"flags {flags}", create(flags=flags)) for flags in (2, 4, 5, 7, -1, 0x7FFFFFFF)]
        + [
            ("data null", create("/null", data=NULL)),
            ("data of length -3", create(data=integer(-3))),
            ("data of huge length", create(data=HUGE)),
            ("empty list of access", create(acl=integer(0))),
            ("null list of access", create(acl=NULL)),
            ("list of access of length -2", create(acl=integer(-2))),
            ("list of access of huge length", create(acl=HUGE)),
            ("list shorter than it says", create(acl=integer(2) + ACL[4:])),
            ("no permission", create("/p0", acl=entry(0))),
            ("all permission bits", create("/pall", acl=entry(-1))),
            ("scheme null", create(acl=entry(scheme=NULL))),
            ("scheme empty", create(acl=entry(scheme=string("")))),
            ("scheme unknown", create(acl=entry(scheme=string("nonsense")))),
            ("world of nobody", create(acl=entry(name=string("nobody")))),
            ("name null", create(acl=entry(name=NULL))),
            ("auth of nobody", create(acl=entry(scheme=string("auth")))),
            ("digest without colon", create(acl=entry(scheme=string("digest"), name=string("ann")))),
            ("digest of two colons", create(acl=entry(scheme=string("digest"), name=string("a:b:c")))),
            ("digest of empty parts", create("/dig", acl=entry(scheme=string("digest"), name=string(":")))),
            ("digest null", create(acl=entry(scheme=string("digest"), name=NULL))),
            ("super", create(acl=entry(scheme=string("super"), name=string("")))),
            ("sasl", create("/sasl", acl=entry(scheme=string("sasl"), name=string("ann")))),
        ]
        + [
            (f"address {address}", create(f"/ip{number}", acl=entry(scheme=string("ip"), name=string(address))))
            for number, address in enumerate((
                "127.0.0.1", "127.0.0.1/8", "1.2.3", "1.2.3.4.5", "256.1.1.1", "::1", "", "a.b.c.d",
                "1.2.3.", "-1.2.3.4", "01.2.3.4",
            ))
        ]
    ):
        yield f"create: {name}", connect(), frames


def multis():
    end = struct.pack(">i?i", -1, True, -1)

    def op(number, body, done=False, error=-1):
        return struct.pack(">i?i", number, done, error) + body

    create = op(1, string("/mm") + buffer(b"") + ACL + integer(0))
    delete = op(2, string("/mm") + integer(-1))
    for name, body in (
        ("nothing", b""),
        ("only the end", end),
        ("no end", create),
        ("create and delete", create + delete + end),
        ("bytes after the end", create + delete + end + b"more"),
        ("unknown operation", op(99, b"") + end),
        ("a read inside", op(4, string("/a") + b"\0") + end),
        ("setACL inside", op(7, string("/a") + ACL + integer(-1)) + end),
        ("a multi inside", op(14, end) + end),
        ("an error inside", op(-1, integer(-101)) + end),
        ("an odd error field", op(2, string("/none") + integer(-1), error=7) + end),
        ("an end in between", create + end + delete + end),
        ("a done operation", op(1, b"", done=True)),
        ("check of a version", op(13, string("/a") + integer(7)) + end),
        ("check of none", op(13, string("/none") + integer(-1)) + end),
        ("half an operation", create[:-2]),
        ("path null", op(2, NULL + integer(-1)) + end),
        ("path not valid", op(1, string("/x//y") + buffer(b"") + ACL + integer(0)) + end),
        ("list of access null", op(1, string("/mm") + buffer(b"") + NULL + integer(0)) + end),
        ("list of access empty", op(1, string("/mm") + buffer(b"") + integer(0) + integer(0)) + end),
        ("flags 9", op(1, string("/mm") + buffer(b"") + ACL + integer(9)) + end),
        ("the second fails", create + op(2, string("/none") + integer(-1)) + delete + end),
    ):
        yield f"multi: {name}", connect(), [request(1, 14, body)]


def auths_and_watches():
    def auth(scheme, credentials, kind=0, xid=wire.AUTH_XID):
        return request(xid, 100, integer(kind) + scheme + credentials)

    def watches(*lists, zxid=0, xid=-8):
        return request(xid, 101, long(zxid) + b"".join(lists))

    none = integer(0)
    one = integer(1) + string("/a")
    missing = integer(1) + string("/none")
    for name, frames in (
        ("auth: digest", [auth(string("digest"), buffer(b"ann:secret"))]),
        ("auth: digest without colon", [auth(string("digest"), buffer(b"ann"))]),
        ("auth: digest empty", [auth(string("digest"), buffer(b""))]),
        ("auth: digest null", [auth(string("digest"), NULL)]),
        ("auth: scheme unknown", [auth(string("nonsense"), buffer(b"x"))]),
        ("auth: scheme null", [auth(NULL, buffer(b"x"))]),
        ("auth: world", [auth(string("world"), buffer(b"anyone"))]),
        ("auth: ip", [auth(string("ip"), buffer(b"1.2.3.4"))]),
        ("auth: super", [auth(string("super"), buffer(b""))]),
        ("auth: another type and xid", [auth(string("digest"), buffer(b"a:b"), kind=7, xid=5)]),
        ("auth: cut", [request(wire.AUTH_XID, 100, integer(0))]),
        ("setWatches: none", [watches(none, none, none)]),
        ("setWatches: each list", [watches(one, one, one)]),
        ("setWatches: each list, missing", [watches(missing, missing, missing)]),
        ("setWatches: from the future", [watches(one, missing, one, zxid=1 << 60)]),
        ("setWatches: null lists", [watches(NULL, NULL, NULL)]),
        ("setWatches: null path", [watches(integer(1) + NULL, none, none)]),
        ("setWatches: huge list", [watches(HUGE, none, none)]),
        ("setWatches: xid 7", [watches(one, none, none, xid=7)]),
        ("setWatches: cut", [watches(one)]),
        ("ping with a body", [request(wire.PING_XID, 11, b"body")]),
        ("ping with an ordinary xid", [request(5, 11)]),
        ("closeSession", [request(1, -11)]),
        ("sasl: a token", [request(1, 102, buffer(b"token"))]),
        ("sasl: null", [request(1, 102, NULL)]),
    ):
        yield name, connect(), frames


# ---- what 3.4.14 does not survive ----


def ours():
    """(name, problem or None) of each case."""
    server = fresh_server("oxkeeper")
    with server:
        client = wire.Client(server.port, SESSION_MS)
        client.create("/a", b"data")
        for name, handshake, frames in (
            ("handshake: null password", connect(password=NULL), []),
            ("a createSession of a client", connect(), [request(1, -10, string("/a"))]),
            ("a top-level check, empty", connect(), [request(1, 13)]),
            ("a top-level check", connect(), [request(1, 13, string("/a") + integer(0))]),
            ("a top-level check that fails", connect(), [request(1, 13, string("/a") + integer(9))]),
        ):
            answer = exchange(server, name, handshake, frames)
            fine = re.search("closed|alive|connected", answer)
            yield name, None if fine else f"no answer: {answer}"
        grown = multi_that_grows()
        try:
            client.multi(*grown)
        except (wire.Refused, ConnectionError):
            pass
        server.stop()
        problem = None
        try:
            server.start()
            data, _ = wire.Client(server.port, SESSION_MS).get("/a")
            if data != b"data":
                problem = f"/a holds {data}"
        except (AssertionError, OSError, wire.Refused) as error:
            problem = f"after the restart: {error}"
        yield "a start after all of these", problem


def multi_that_grows():
    """Just within a frame, but its transaction is not: ten digits more each."""
    count = 250
    filling = (MAX_FRAME - 200) // count - 60
    return [("create", "/a/s-", b"x" * filling, None, wire.SEQUENTIAL) for _ in range(count)]


if __name__ == "__main__":
    sys.exit(main())
