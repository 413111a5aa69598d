"""A small blocking ZooKeeper client that does nothing by itself: no pings, no
reconnects, no retries. What a test sends is what the server gets, so counters,
zxids and stats are the same in each run. Formats: zookeeper.jute of 3.4.14.
"""

import collections
import socket
import struct

OPEN_ACL = [(31, "world", "anyone")]
READ_ACL = [(1, "world", "anyone")]
EPHEMERAL, SEQUENTIAL = 1, 2
NOTIFICATION_XID, PING_XID, AUTH_XID, SET_WATCHES_XID = -1, -2, -4, -8

Stat = collections.namedtuple(
    "Stat",
    "czxid mzxid ctime mtime version cversion aversion ephemeral_owner data_length"
    " num_children pzxid",
)
Event = collections.namedtuple("Event", "type state path")


class Refused(Exception):
    """The server answered with an error code."""

    def __init__(self, code, what):
        super().__init__(f"{what}: error {code}")
        self.code = code


class Client:
    """One connection with its session."""

    def __init__(self, port, timeout_ms=30000, session=None, last_zxid=0, read_only=False):
        """`session` is (id, password) of an earlier client, to take it over.
        `read_only` says that a server without a quorum will do; None leaves the
        byte out, as clients before 3.4 do.

        After a refusal to renew, `timeout_ms` is 0 and the connection useless.
        """
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session_id, password = session or (0, bytes(16))
        self.events = []
        self.zxid = 0
        self._xid = 0
        self._send(
            struct.pack(">iqiq", 0, last_zxid, timeout_ms, session_id)
            + _buffer(password)
            + (b"" if read_only is None else _boolean(read_only))
        )
        body = Reader(self._receive())
        body.integer()
        self.timeout_ms = body.integer()
        self.session_id = body.long()
        self.password = body.buffer()
        self.is_read_only = body.rest() == b"\1"

    @property
    def session(self):
        return self.session_id, self.password

    def create(self, path, data=b"", acl=None, flags=0):
        reply = self._call(1, _create(path, data, acl, flags), f"create {path}")
        return reply.string()

    def delete(self, path, version=-1):
        self._call(2, _string(path) + _integer(version), f"delete {path}")

    def exists(self, path, watch=False):
        try:
            return self._call(3, _string(path) + _boolean(watch), f"exists {path}").stat()
        except Refused as refused:
            if refused.code == -101:
                return None
            raise

    def get(self, path, watch=False):
        reply = self._call(4, _string(path) + _boolean(watch), f"get {path}")
        return reply.buffer(), reply.stat()

    def set(self, path, data, version=-1):
        body = _string(path) + _buffer(data) + _integer(version)
        return self._call(5, body, f"set {path}").stat()

    def get_acl(self, path):
        reply = self._call(6, _string(path), f"getACL {path}")
        return reply.acl(), reply.stat()

    def set_acl(self, path, acl, version=-1):
        body = _string(path) + _acl(acl) + _integer(version)
        return self._call(7, body, f"setACL {path}").stat()

    def children(self, path, watch=False):
        return self._call(8, _string(path) + _boolean(watch), f"children {path}").strings()

    def sync(self, path):
        return self._call(9, _string(path), f"sync {path}").string()

    def ping(self):
        self._send(struct.pack(">ii", PING_XID, 11))
        self._reply(PING_XID, "ping")

    def auth(self, scheme, credentials):
        body = _integer(0) + _string(scheme) + _buffer(credentials)
        self._send(struct.pack(">ii", AUTH_XID, 100) + body)
        self._reply(AUTH_XID, "auth")

    def set_watches(self, relative_zxid, data=(), exist=(), children=()):
        """As a client does that has come to another server: what has changed since fires at once."""
        lists = (_integer(len(paths)) + b"".join(map(_string, paths)) for paths in (data, exist, children))
        self._send(struct.pack(">iiq", SET_WATCHES_XID, 101, relative_zxid) + b"".join(lists))
        self._reply(SET_WATCHES_XID, "setWatches")

    def multi(self, *operations):
        """Each operation is ("create"|"delete"|"set"|"check", arguments...).
        Gives the list of error codes; 0 for success."""
        body = b""
        for name, *arguments in operations:
            number, encode = MULTI[name]
            body += struct.pack(">i?i", number, False, -1) + encode(*arguments)
        reply = self._call(14, body + struct.pack(">i?i", -1, True, -1), "multi")
        return reply.multi_codes()

    def close(self):
        """Ends the session."""
        self._call(-11, b"", "closeSession")
        self.socket.close()

    def abandon(self):
        """Drops the connection; the session lives on."""
        self.socket.close()

    def _call(self, operation, body, what):
        self._xid += 1
        self._send(struct.pack(">ii", self._xid, operation) + body)
        return self._reply(self._xid, what)

    def _reply(self, xid, what):
        while True:
            reader = Reader(self._receive())
            found, zxid, error = reader.integer(), reader.long(), reader.integer()
            if found == NOTIFICATION_XID:
                self.events.append(Event(reader.integer(), reader.integer(), reader.string()))
                continue
            assert found == xid, f"{what}: reply {found} instead of {xid}"
            self.zxid = max(self.zxid, zxid)
            if error:
                raise Refused(error, what)
            return reader

    def _send(self, body):
        self.socket.sendall(struct.pack(">i", len(body)) + body)

    def _receive(self):
        (length,) = struct.unpack(">i", self._exactly(4))
        return self._exactly(length)

    def _exactly(self, length):
        parts = bytearray()
        while len(parts) < length:
            part = self.socket.recv(length - len(parts))
            if not part:
                raise ConnectionError("the server closed the connection")
            parts += part
        return bytes(parts)


class Reader:
    """Jute, from the left to the right."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def integer(self):
        return self._take(">i", 4)

    def long(self):
        return self._take(">q", 8)

    def buffer(self):
        length = self.integer()
        if length < 0:
            return None
        self.at += length
        return self.data[self.at - length : self.at]

    def rest(self):
        return self.data[self.at :]

    def string(self):
        raw = self.buffer()
        return None if raw is None else raw.decode("utf-8", "surrogatepass")

    def strings(self):
        return [self.string() for _ in range(self.integer())]

    def acl(self):
        return [(self.integer(), self.string(), self.string()) for _ in range(self.integer())]

    def stat(self):
        return Stat(*self._take_all(">qqqqiiiqiiq"))

    def multi_codes(self):
        codes = []
        while True:
            kind, done, error = self._take_all(">i?i")
            if done:
                return codes
            codes.append(error if kind == -1 else 0)
            if kind == -1:
                codes[-1] = self.integer()
            elif kind == 1:
                self.string()
            elif kind == 5:
                self.stat()

    def _take(self, format_, size):
        self.at += size
        return struct.unpack_from(format_, self.data, self.at - size)[0]

    def _take_all(self, format_):
        self.at += struct.calcsize(format_)
        return struct.unpack_from(format_, self.data, self.at - struct.calcsize(format_))


def _integer(value):
    return struct.pack(">i", value)


def _boolean(value):
    return b"\1" if value else b"\0"


def _buffer(data):
    return _integer(-1) if data is None else _integer(len(data)) + data


def _string(text):
    return _buffer(text.encode("utf-8", "surrogatepass"))


def _acl(acl):
    entries = (_integer(perms) + _string(scheme) + _string(id_) for perms, scheme, id_ in acl)
    return _integer(len(acl)) + b"".join(entries)


def _create(path, data=b"", acl=None, flags=0):
    return _string(path) + _buffer(data) + _acl(OPEN_ACL if acl is None else acl) + _integer(flags)


MULTI = {
    "create": (1, _create),
    "delete": (2, lambda path, version=-1: _string(path) + _integer(version)),
    "set": (5, lambda path, data, version=-1: _string(path) + _buffer(data) + _integer(version)),
    "check": (13, lambda path, version: _string(path) + _integer(version)),
}
