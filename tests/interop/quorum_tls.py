#!/usr/bin/env python3
"""TLS between servers, with Java 3.9.3 as a member beside ours.

    quorum_tls.py [part...]        parts: together apart change; default: all

together  who leads and who follows, in both mixtures; writes through each server; a
          member of either kind that is killed comes back by a diff and by a snapshot
apart     one with a stranger's certificate, or without TLS, stays outside
change    an ensemble of both kinds is brought from plain text to TLS at work

Keys and certificates are PEM files made by openssl. Java verifies the names of hosts
as well as we do (fips-mode=false).
"""

import sys

import ensemble
import peers
from ensemble import Ensemble
from tls import Certificates

JAVA, OURS = "java-3.9", "oxkeeper"


def with_tls(group, lines=("sslQuorum=true",), strangers=()):
    """Gives each member of an ensemble a key, and these lines."""
    certificates = group.certificates = Certificates()
    for number, node in group.nodes.items():
        name = f"member-{number}"
        authority = "elsewhere" if number in strangers else "authority"
        certificates.issue(name, f"/O=Example/CN={name}", authority, "subjectAltName=DNS:localhost,IP:127.0.0.1")
        both = certificates.path(f"{name}.key").read_text() + certificates.path(f"{name}.crt").read_text()
        certificates.path(f"{name}.pem").write_text(both)
        node.common = node.config + [
            f"ssl.quorum.keyStore.location={certificates.path(f'{name}.pem')}",
            f"ssl.quorum.trustStore.location={certificates.path('authority.pem')}",
            "fips-mode=false",
        ]
        configure(node, *lines)
    return group


def as_before_pem(group):
    """Java's keys in PKCS#12, and TLS 1.2, as servers of 3.5 have them."""
    certificates = group.certificates
    for number, node in group.nodes.items():
        if node.kind == JAVA:
            name = f"member-{number}"
            certificates.run("pkcs12", "-export", "-in", f"{name}.pem", "-passout", "pass:of-java", "-out", f"{name}.p12")
            configure(
                node, "sslQuorum=true", f"ssl.quorum.keyStore.location={certificates.path(f'{name}.p12')}",
                "ssl.quorum.keyStore.password=of-java", "ssl.quorum.protocol=TLSv1.2",
            )
    return group


def configure(node, *lines):
    node.config = node.common + list(lines)
    node.take(node.kind)


def same_trees(group):
    # 3.9 has a node for its configuration there, ours shows one that is in no list.
    group.same_trees(besides="/zookeeper")


def mixed(leader, *kinds, change=lambda group: group, version="TLSv1.3"):
    group = change(with_tls(Ensemble(*kinds))).start(leader)
    for node in group.nodes.values():
        node.client().create(f"/of-{node.number}", b"x" * 300_000)
    same_trees(group)
    client = group.nodes[leader].client()
    for number in group.voters:
        if number == leader:
            continue
        away = group.nodes[number]
        # So many that it comes back by a diff, and by a snapshot from one that keeps the last 500.
        for count in (5, 520):
            away.server.kill()
            for made in range(count):
                client.create(f"/while-{number}-{count}-{made}", b"y" * 1000)
            away.start()
            same_trees(group)
    # Another election, with what every one of them has.
    group.nodes[leader].server.kill()
    group.leader().client().create("/without-the-first")
    group.nodes[leader].start()
    same_trees(group)
    ours = next(node for node in group.nodes.values() if node.kind == OURS)
    log = ours.server.log_text()
    for word in ("Accepted TLS connection from", "SSL handshake complete with", version):
        assert word in log, ours.server.log_tail()


def stays_outside(kind, rest, strangers, lines, words):
    group = with_tls(Ensemble(kind, rest, rest), strangers=strangers)
    if lines:
        configure(group.nodes[1], *lines)
    for number in (2, 3):
        group.nodes[number].start(wait=False)
    group.nodes[1].start(wait=False)
    for number in (2, 3):
        group.nodes[number].server.wait_serving()
    ours = [node for node in group.nodes.values() if node.kind == OURS]
    said = lambda: "".join(node.server.log_text() for node in ours)
    peers.wait_until(lambda: any(word in said() for word in words), 40, f"one of {words}")
    group.nodes[3].client().create("/beside")
    assert group.nodes[1].mode() is None


def step_by_step():
    """A member at a time, and three times around: who hears both, who calls with TLS, and plain text no more."""
    group = with_tls(Ensemble(JAVA, OURS, OURS), lines=())
    group.start(leader=3)
    for step, lines in enumerate((("portUnification=true",), ("portUnification=true", "sslQuorum=true"), ("sslQuorum=true",))):
        for number, node in group.nodes.items():
            node.server.kill()
            configure(node, *lines)
            group.leader().client().create(f"/without-{step}-{number}")
            node.start()
        same_trees(group)


PARTS = {
    "together": [
        ("ours lead, Java follows", lambda: mixed(3, JAVA, OURS, OURS)),
        ("Java leads, ours follow", lambda: mixed(3, OURS, OURS, JAVA)),
        ("Java in the middle, with PKCS#12 and TLS 1.2", lambda: mixed(
            2, OURS, JAVA, OURS, change=as_before_pem, version="TLSv1.2")),
    ],
    "apart": [
        ("Java with a stranger's certificate", lambda: stays_outside(JAVA, OURS, [1], (), ["UnknownIssuer"])),
        ("ours with a stranger's certificate", lambda: stays_outside(
            OURS, JAVA, [1], (), ["UnknownIssuer", "received fatal alert"])),
        ("Java without TLS", lambda: stays_outside(JAVA, OURS, [], ["sslQuorum=false"], ["it does not speak TLS"])),
        ("ours without TLS", lambda: stays_outside(OURS, JAVA, [], ["sslQuorum=false"], ["it speaks TLS, and this"])),
    ],
    "change": [("from plain text to TLS", step_by_step)],
}
ensemble.PARTS.update(PARTS)

if __name__ == "__main__":
    sys.exit(ensemble.main(list(PARTS)))
