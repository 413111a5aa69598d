#!/usr/bin/env python3
"""TLS on the clients' port, with the clients of others: kazoo, Java 3.9.3's command line, openssl's.

Certificates are made by openssl; who owns one stands in ACLs in the words of Java.
"""

import subprocess
import sys

import peers

peers.offer_packages()
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from kazoo.security import ACL, Id, Permissions

OWNER = "CN=bob,OU=tests,O=Example"


def main():
    certificates = Certificates()
    tests = [kazoo_has_a_session, java_has_a_session, ours_has_a_session, words_are_answered, strangers_are_not_let_in]
    port = peers.free_port()
    config = [
        f"secureClientPort={port}",
        f"ssl.keyStore.location={certificates.path('server.pem')}",
        f"ssl.keyStore.password={Certificates.PASSWORD}",
        f"ssl.trustStore.location={certificates.path('authority.pem')}",
    ]
    passed = failed = 0
    with peers.Server("oxkeeper", peers.temporary_directory("data"), config=config).start() as server:
        for test in tests:
            try:
                test(server, port, certificates)
                passed += 1
                print(f"ok {test.__name__}", flush=True)
            except Exception as problem:  # A client may fail in any way.
                failed += 1
                print(f"FAILED {test.__name__}: {problem!r}\n{server.log_tail()}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


class Certificates:
    """An authority, a server whose key has a password, bob, and a stranger."""

    PASSWORD = "behind-a-password"

    def __init__(self):
        self.directory = peers.temporary_directory("certificates")
        for authority in ("authority", "elsewhere"):
            self.run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/O=Example/CN={authority}",
                     "-keyout", f"{authority}.key", "-out", f"{authority}.pem", "-days", "2")
        self.issue("server", "/O=Example/CN=localhost", "authority", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        self.issue("bob", "/O=Example/OU=tests/CN=bob", "authority", "subjectAltName=DNS:bob")
        self.issue("stranger", "/O=Example/CN=stranger", "elsewhere", "subjectAltName=DNS:stranger")
        # Only the server's key is encrypted.
        self.run("pkcs8", "-topk8", "-in", "server.key", "-passout", f"pass:{self.PASSWORD}", "-out", "locked.key")
        self.path("server.pem").write_text(self.path("locked.key").read_text() + self.path("server.crt").read_text())
        for name in ("bob", "stranger"):
            both = self.path(f"{name}.key").read_text() + self.path(f"{name}.crt").read_text()
            self.path(f"{name}.pem").write_text(both)

    def issue(self, name, subject, authority, extension):
        self.path("extensions").write_text(extension + "\n")
        self.run("req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", f"{name}.key", "-out", "request")
        self.run("x509", "-req", "-in", "request", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
                 "-CAcreateserial", "-days", "2", "-extfile", "extensions", "-out", f"{name}.crt")

    def run(self, *words):
        subprocess.run(["openssl", *words], cwd=self.directory, check=True, capture_output=True)

    def path(self, name):
        return self.directory / name

    def properties(self, name):
        """What a client of Java's kind is told, as properties."""
        return {
            "zookeeper.client.secure": "true",
            "zookeeper.clientCnxnSocket": "org.apache.zookeeper.ClientCnxnSocketNetty",
            "zookeeper.ssl.keyStore.location": self.path(f"{name}.pem"),
            "zookeeper.ssl.trustStore.location": self.path("authority.pem"),
        }


def kazoo(port, certificates, name, seconds=20):
    client = KazooClient(
        f"localhost:{port}", use_ssl=True, ca=str(certificates.path("authority.pem")),
        certfile=str(certificates.path(f"{name}.crt")), keyfile=str(certificates.path(f"{name}.key")),
    )
    client.start(timeout=seconds)
    return client


def kazoo_has_a_session(server, port, certificates):
    bob = kazoo(port, certificates, "bob")
    bob.create("/of-bob", b"x" * 500_000, acl=[ACL(Permissions.ALL, Id("x509", OWNER))])
    assert len(bob.get("/of-bob")[0]) == 500_000
    bob.stop()
    other = KazooClient(server.address)
    other.start()
    try:
        other.get("/of-bob")
        raise AssertionError("bob's node is read by everybody")
    except NoAuthError:
        pass
    finally:
        other.stop()


def run_client(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def java_has_a_session(_server, port, certificates):
    flags = [f"-D{key}={value}" for key, value in certificates.properties("bob").items()]
    words = ["-server", f"localhost:{port}", "create", "/of-bob/by-java", "data"]
    run_client(peers.java_3_9_command("org.apache.zookeeper.ZooKeeperMain", words, flags))
    words = ["-server", f"localhost:{port}", "get", "/of-bob/by-java"]
    said = run_client(peers.java_3_9_command("org.apache.zookeeper.ZooKeeperMain", words, flags))
    assert "data" in said.splitlines(), said


def ours_has_a_session(_server, port, certificates):
    file = certificates.path("client.properties")
    file.write_text("".join(f"{key}={value}\n" for key, value in certificates.properties("bob").items()))
    words = ["-client-configuration", str(file), "-server", f"localhost:{port}", "get", "/of-bob/by-java"]
    said = run_client([peers.oxkeeper_binary(), "cli", *words])
    assert "data" in said.splitlines(), said
    words = ["--client-configuration", str(file), "-s", f"127.0.0.1:{port}", "--count", "200"]
    said = run_client([peers.oxkeeper_binary(), "bench", *words])
    assert "error" not in said and "failed" not in said, said


def words_are_answered(_server, port, certificates):
    command = ["openssl", "s_client", "-quiet", "-connect", f"localhost:{port}", "-cert", "bob.crt", "-key", "bob.key"]
    done = subprocess.run(command, cwd=certificates.directory, input=b"ruok", capture_output=True, timeout=30)
    assert b"imok" in done.stdout, done


def strangers_are_not_let_in(server, port, certificates):
    try:
        kazoo(port, certificates, "stranger", seconds=3).stop()
        raise AssertionError("a stranger has a session")
    except AssertionError:
        raise
    except Exception as refusal:
        assert "timeout" in type(refusal).__name__.lower(), refusal
    assert "UnknownIssuer" in server.log_text(), server.log_tail()
    assert Certificates.PASSWORD not in server.log_text()


if __name__ == "__main__":
    sys.exit(main())
