#!/usr/bin/env python3
"""SASL with DIGEST-MD5, with Java on the other side of it, as a client and as a member.

    sasl.py [part...]        parts: tokens clients quorum; default: all

tokens   the same tokens, right and wrong, to Java's server and to ours: the same answers
clients  Java's command lines of 3.4.14 and 3.9.3 and kazoo, with the right and the wrong password
quorum   ensembles in which servers of both kinds prove to each other who they are; one that
         does not know the password stays outside; one at work is brought there step by step
"""

import hashlib
import re
import subprocess
import sys

import peers
import wire
from ensemble import Ensemble

SASL, AUTH_FAILED, NO_AUTH = 102, -115, -102
PROVIDER = "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider"
DIGEST = "org.apache.zookeeper.server.auth.DigestLoginModule required"
LOGINS = f"""/* Who may, with "quotes" and all. */
Server {{
    {DIGEST}
    user_super="the super secret"
    user_bob="bob's \\"secret\\"";
}};
QuorumServer {{
    {DIGEST}
    user_member="members only";
}};
QuorumLearner {{
    {DIGEST}
    username="member"
    password="members only";
}};
"""
BOB, SUPER = ("bob", "bob's \"secret\""), ("super", "the super secret")
JAVA, OURS = "java", "oxkeeper"


def main():
    passed = failed = 0
    for part in sys.argv[1:] or PARTS:
        for name, test in PARTS[part]:
            try:
                test()
                passed += 1
                print(f"ok {part}: {name}", flush=True)
            except (AssertionError, OSError, wire.Refused, subprocess.SubprocessError) as problem:
                failed += 1
                print(f"FAILED {part}: {name}: {str(problem)[:2000]}", flush=True)
            finally:
                if Ensemble.last:
                    Ensemble.last.kill_all()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def login_file(text):
    path = peers.temporary_directory("logins") / "jaas.conf"
    path.write_text(text)
    return f"java.security.auth.login.config={path}"


def server(kind, *properties):
    data = peers.temporary_directory("data")
    return peers.Server(kind, data, config=[PROVIDER], properties=[login_file(LOGINS), *properties])


def md5(*parts):
    return hashlib.md5(b":".join(parts)).digest()


def response(challenge, user, password, **other):
    """A client's answer to a challenge; `other` are directives that are to differ."""
    nonce = re.search(rb'nonce="([^"]*)"', challenge).group(1).decode()
    said = {
        "charset": "utf-8", "username": f'"{user}"', "realm": '"zk-sasl-md5"', "nonce": f'"{nonce}"',
        "nc": "00000001", "cnonce": '"a-client"', "digest-uri": '"zookeeper/zk-sasl-md5"', "qop": "auth",
    }
    said.update({key.replace("_", "-"): value for key, value in other.items()})
    plain = {key: value.strip('"').encode() for key, value in said.items() if value is not None}
    part = lambda name: plain.get(name, b"")
    known = md5(part("username"), part("realm"), password.encode())
    a1 = b":".join([known, part("nonce"), part("cnonce")] + ([plain["authzid"]] if "authzid" in plain else []))
    proof = lambda a2: md5(
        hashlib.md5(a1).hexdigest().encode(), part("nonce"), part("nc"), part("cnonce"), b"auth",
        hashlib.md5(a2).hexdigest().encode(),
    ).hex()
    said.setdefault("response", proof(b"AUTHENTICATE:" + part("digest-uri")))
    token = ",".join(f"{key}={value}" for key, value in said.items() if value is not None)
    return token.encode(), proof(b":" + part("digest-uri"))


def say(client, token):
    body = wire._buffer(token)
    return client._call(SASL, body, "a token").buffer()


def answers(port, tokens):
    """What a server answers to tokens on one connection, in words that name no nonce."""
    client = wire.Client(port)
    said, challenge = [], b""
    for make in tokens:
        proof = None
        token = make(challenge) if callable(make) else make
        if isinstance(token, tuple):
            token, proof = token
        try:
            answer = say(client, token)
        except wire.Refused as refused:
            said.append(refused.code)
            continue
        except OSError:
            return said + ["closed"]
        if answer and b"nonce" in answer:
            challenge = answer
            answer = re.sub(rb'nonce="[^"]{20,}"', b"nonce", answer)
        if proof and answer == f"rspauth={proof}".encode():
            answer = "the right proof"
        said.append(answer)
    try:
        client.create("/" + hashlib.md5(repr(said).encode()).hexdigest() + str(client.session_id), acl=[(31, "auth", "")])
        said.append("is somebody")
    except wire.Refused as refused:
        said.append(refused.code)
    return said


def answered(**other):
    return lambda challenge: response(challenge, *BOB, **other)


def spaced(token, proof):
    return token.replace(b",", b" ,, ") + b",more=1", proof


TOKENS = {
    "right": [b"", answered()],
    "right, for oneself": [b"", answered(authzid='"bob"')],
    "right, without qop": [b"", answered(qop=None)],
    "the service's name longer": [b"", answered(digest_uri='"zookeeper/zk-sasl-md5/zk-sasl-md5"')],
    "right, with blanks and more": [b"", lambda challenge: spaced(*answered()(challenge))],
    "super": [b"", lambda challenge: response(challenge, *SUPER)],
    "a wrong password": [b"", lambda challenge: response(challenge, "bob", "wrong")],
    "nothing to begin with but a token": [b"token"],
    "two empty tokens": [b"", b""],
    "a null": [b"", b"nonsense"],
    "an unknown realm": [b"", answered(realm='"elsewhere"')],
    "no realm": [b"", answered(realm=None)],
    "a nonce of one's own": [b"", answered(nonce='"mine"')],
    "a later nonce count": [b"", answered(nc="00000002")],
    "another service": [b"", answered(digest_uri='"imap/zk-sasl-md5"')],
    "a protection that is not offered": [b"", answered(qop="auth-int")],
    "another charset": [b"", answered(charset="latin1")],
    "no name": [b"", answered(username=None)],
    "no nonce of the client": [b"", answered(cnonce=None)],
    "no response": [b"", answered(response=None)],
    "an empty response": [b"", answered(response='""')],
    "once more behind a success": [b"", answered(), b""],
}


def same_answers(*properties):
    with server(JAVA, *properties) as java, server(OURS, *properties) as ours:
        different = []
        for name, tokens in TOKENS.items():
            wanted, found = answers(java.port, tokens), answers(ours.port, tokens)
            if wanted != found:
                different.append(f"{name}: Java {wanted}, ours {found}")
        assert not different, "; ".join(different)


def java_client(kind, port, login, words, seconds=40):
    """Java's zkCli with one command; gives both streams."""
    name = "127.0.0.1"
    make = peers.java_command if kind == JAVA else peers.java_3_9_command
    command = make("org.apache.zookeeper.ZooKeeperMain", ["-server", f"{name}:{port}", *words])
    if login:
        text = f'Client {{ {DIGEST} username="{login[0]}" password="{login[1]}"; }};'.replace("bob's \"secret\"", "bob's \\\"secret\\\"")
        command.insert(1, "-D" + login_file(text))
    process = peers.spawn(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        return process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return "nothing within the time"


def java_clients(client_kind, server_kind):
    with server(server_kind) as place:
        java_client(client_kind, place.port, BOB, ["create", "/bobs", "bob's data", "sasl:bob:cdrwa"])
        for login in (BOB, SUPER):
            out = java_client(client_kind, place.port, login, ["get", "/bobs"])
            assert "bob's data" in out, f"{login[0]}: {out[-600:]}"
        out = java_client(client_kind, place.port, None, ["get", "/bobs"])
        assert "bob's data" not in out and "bobs" in out, f"nobody: {out[-600:]}"
        out = java_client(client_kind, place.port, ("bob", "wrong"), ["get", "/bobs"], 6)
        assert "bob's data" not in out, f"a wrong password: {out[-600:]}"
        log = place.log_text()
        assert "adding SASL authorization for authorizationID: bob" in log, log[-2000:]
        assert "Closing client connection due to SASL authentication failure." in log, log[-2000:]
        assert "secret" not in log.replace("secrets", ""), "the log tells a secret"


KAZOO = """
import sys
from kazoo.client import KazooClient
from kazoo.exceptions import AuthFailedError, NoAuthError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.security import make_acl
port, user, password = sys.argv[1:]
def client(user, password, legacy=False):
    if legacy:
        return KazooClient("127.0.0.1:" + port, auth_data=[("sasl", user + ":" + password)])
    options = {"mechanism": "DIGEST-MD5", "username": user, "password": password}
    return KazooClient("127.0.0.1:" + port, sasl_options=options)
for legacy in (False, True):
    bob = client(user, password, legacy); bob.start()
    path = "/kazoo%d" % legacy
    bob.create(path, b"data", acl=[make_acl("sasl", user, all=True)])
    assert bob.get(path)[0] == b"data"
    nobody = KazooClient("127.0.0.1:" + port); nobody.start()
    try:
        nobody.get(path)
        raise SystemExit("everybody may")
    except NoAuthError:
        pass
    bob.stop(); nobody.stop()
    for other in ("wrong", ""):
        try:
            # It may call itself connected for a moment before the server has judged.
            stranger = client(user, other or "-", legacy)
            stranger.start(timeout=20)
            stranger.get("/zookeeper")
            raise SystemExit("a wrong password is right")
        except (AuthFailedError, KazooTimeoutError):
            pass
print("well")
"""


def kazoo(kind):
    with server(kind) as place:
        python = str(peers.PEERS / "venv/bin/python")
        process = peers.spawn(
            [python, "-c", KAZOO, str(place.port), *BOB], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        out, errors = process.communicate(timeout=90)
        assert out.strip() == "well", out + errors[-1000:]


def our_command_line():
    """Ours at Java's server and at ours."""
    for kind in (JAVA, OURS):
        with server(kind) as place:
            login = login_file(f'Client {{ {DIGEST} username="bob" password="bob\'s \\"secret\\""; }};')
            words = lambda *rest: [peers.oxkeeper_binary(), f"-D{login}", "cli", "-server", place.address, *rest]
            run = lambda *rest: subprocess.run(words(*rest), capture_output=True, text=True, timeout=60)
            made = run("create", "/bobs", "data", "sasl:bob:cdrwa")
            assert made.returncode == 0, f"{kind}: {made}"
            assert "data" in run("get", "/bobs").stdout, kind
            login = login_file(f'Client {{ {DIGEST} username="bob" password="wrong"; }};')
            refused = run("get", "/bobs")
            assert refused.returncode != 0 and "AuthFailed" in refused.stderr, f"{kind}: {refused}"


REQUIRE = ["quorum.auth.enableSasl=true", "quorum.auth.learnerRequireSasl=true", "quorum.auth.serverRequireSasl=true"]


def with_sasl(group, lines, logins=LOGINS, numbers=None):
    """Gives members (all, or these) further lines and the file of passwords."""
    login = login_file(logins)
    for number in numbers or group.nodes:
        node = group.nodes[number]
        node.config = [line for line in node.config if not line.startswith("quorum.auth")] + lines
        node.take(node.kind)
        node.server.properties.append(login)
    return group


def mixed(leader, *kinds):
    """All prove who they are; each takes writes, and comes back when it was away."""
    group = with_sasl(Ensemble(*kinds), REQUIRE).start(leader)
    for node in group.nodes.values():
        node.client().create(f"/of-{node.number}", b"data")
    for node in list(group.nodes.values()):
        if node.number != leader:
            node.server.kill()
            node.start()
    group.same_trees()
    logs = "".join(node.server.log_text() for node in group.nodes.values())
    assert "Successfully completed the authentication using SASL. learner addr" in logs
    assert "members only" not in logs


def strangers_stay_outside():
    """A member with the wrong password, and one without any, of either kind."""
    for stranger, rest in ((JAVA, OURS), (OURS, JAVA), (OURS, OURS)):
        for lines, logins in ((REQUIRE, LOGINS.replace('password="members only"', 'password="wrong"')), ([], LOGINS)):
            group = with_sasl(Ensemble(stranger, rest, rest), REQUIRE, numbers=[2, 3])
            with_sasl(group, lines, logins, numbers=[1])
            for number in (2, 3):
                group.nodes[number].start(wait=False)
            for number in (2, 3):
                group.nodes[number].server.wait_serving()
            group.nodes[1].start(wait=False)
            peers.wait_until(
                lambda: any("ailed to authenticate using SASL" in group.nodes[number].server.log_text() for number in (2, 3)),
                30, f"a word about the {stranger} stranger ({len(lines)} lines) in the log of {rest}",
            )
            assert group.nodes[1].mode() is None, f"the {stranger} stranger came in"
            group.nodes[3].client().create("/well")
            group.kill_all()


def serving(group):
    peers.wait_until(lambda: all(node.mode() for node in group.running()), 60, "all that run to serve")


def step_by_step(*kinds):
    """An ensemble at work, one member at a time, as ZooKeeper's documents tell it."""
    group = Ensemble(*kinds).start(leader=3)
    client = group.nodes[3].client()
    client.create("/begun")
    client.close()
    for count in (1, 2, 3):
        for number, node in group.nodes.items():
            node.server.kill()
            with_sasl(group, REQUIRE[:count], numbers=[number])
            serving(group)
            node.start()
            serving(group)
            group.leader().client().create(f"/step-{count}-{number}")
    tree = group.same_trees()
    assert len([path for path in tree if path.startswith("/step")]) == 9, sorted(tree)


PARTS = {
    "tokens": [
        ("the same answers", same_answers),
        ("the same answers to those who may stay", lambda: same_answers("zookeeper.allowSaslFailedClients=true")),
    ],
    "clients": [
        ("Java 3.4.14 at ours", lambda: java_clients(JAVA, OURS)),
        ("Java 3.9.3 at ours", lambda: java_clients("java-3.9", OURS)),
        ("our command line at both", our_command_line),
        ("kazoo at Java's", lambda: kazoo(JAVA)),
        ("kazoo at ours", lambda: kazoo(OURS)),
    ],
    "quorum": [
        ("Java leads, with one of ours", lambda: mixed(3, OURS, JAVA, JAVA)),
        ("ours lead, with one of Java", lambda: mixed(3, JAVA, OURS, OURS)),
        ("strangers stay outside", strangers_stay_outside),
        ("an ensemble of both is brought there step by step", lambda: step_by_step(JAVA, OURS, OURS)),
    ],
}

if __name__ == "__main__":
    sys.exit(main())
