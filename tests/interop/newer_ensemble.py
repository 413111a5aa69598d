#!/usr/bin/env python3
"""What is newer than 3.4, in an ensemble with a server of 3.4.14 in it.

create2 is an ordinary create to Java, whoever leads. Containers and times to live
are refused, without the connection being closed, while Java is there; when its
place is taken by a server of ours they come on for the clients that are
connected. With one in the history, Java is kept out and told why in our log.
"""

import sys

import ensemble
import peers
import wire
from ensemble import Ensemble
from newer_operations import CONTAINER, CREATE2, CREATE_CONTAINER, CREATE_TTL, MULTI
from newer_operations import create_body, multi_results, parts, path_and_stat, ttl_body

UNIMPLEMENTED = -6


def ask(client, operation, body, read=lambda reader: ""):
    try:
        return read(client._call(operation, body, f"operation {operation}"))
    except wire.Refused as refused:
        return refused.code


def java_leads():
    group = Ensemble("java", "java", "oxkeeper")
    group.start(leader=2)
    client = group.nodes[3].client()
    made = ask(client, CREATE2, create_body("/plain", b"abc"), path_and_stat)
    assert made == "/plain [(True, True) v0 cv0 av0 stays 3B 0]", made
    both = parts((CREATE2, create_body("/in multi")), (1, create_body("/in multi/child")))
    made = ask(client, MULTI, both, multi_results)
    assert "('create2', '/in multi [" in made, made
    refused_while_java_is_there(client)
    group.same_trees()


def we_lead_and_java_leaves():
    group = Ensemble("oxkeeper", "oxkeeper", "java")
    group.start(leader=2)
    clients = [group.nodes[1].client(), group.nodes[2].client()]
    for number, client in enumerate(clients):
        made = ask(client, CREATE2, create_body(f"/plain{number}"), path_and_stat)
        assert made == f"/plain{number} [(True, True) v0 cv0 av0 stays 0B 0]", made
        refused_while_java_is_there(client)
    group.same_trees()
    group.nodes[3].server.kill()
    # Java may come back: nothing changes yet.
    refused_while_java_is_there(clients[0])
    group.nodes[3].take("oxkeeper")
    group.nodes[3].start()
    for number, client in enumerate(clients):
        body = create_body(f"/container{number}", b"", None, CONTAINER)
        peers.wait_until(
            lambda: ask(client, CREATE_CONTAINER, body, path_and_stat) != UNIMPLEMENTED, 20, "containers to be on"
        )
        assert ask(client, CREATE_CONTAINER, body) == -110
    made = ask(group.nodes[3].client(), CREATE_TTL, ttl_body("/ttl", 1 << 30), path_and_stat)
    assert made == "/ttl [(True, True) v0 cv0 av0 stays 0B 0]", made
    group.same_trees()
    java_is_kept_out(group)


def java_is_kept_out(group):
    """With an empty directory: the logs of the place it had it could not even read."""
    group.nodes[3].server.kill()
    group.nodes[3].data = peers.temporary_directory("member-3")
    (group.nodes[3].data / "myid").write_text("3")
    group.nodes[3].take("java")
    group.nodes[3].start(wait=False)
    leader = group.nodes[2].server
    peers.wait_until(
        lambda: "which a server of ZooKeeper 3.4 cannot read" in leader.log_text(), 30, "the leader to say why"
    )
    assert "Mode:" not in group.nodes[3].server.word("srvr")
    assert ask(group.nodes[1].client(), CREATE_CONTAINER, create_body("/more", b"", None, CONTAINER)) == ""


def refused_while_java_is_there(client):
    for operation, body in (
        (CREATE_CONTAINER, create_body("/c", b"", None, CONTAINER)),
        (CREATE_TTL, ttl_body("/t", 5000)),
    ):
        answer = ask(client, operation, body)
        assert answer == UNIMPLEMENTED, (operation, answer)
    answer = ask(client, MULTI, parts((CREATE_CONTAINER, create_body("/c", b"", None, CONTAINER))), multi_results)
    assert answer == UNIMPLEMENTED or f"('error', {UNIMPLEMENTED}, " in answer, answer
    client.ping()
    assert client.exists("/c") is None


ensemble.PARTS["newer"] = [
    ("a Java server leads", java_leads),
    ("we lead, and the Java server leaves and comes back", we_lead_and_java_leaves),
]

if __name__ == "__main__":
    sys.exit(ensemble.main(["newer"]))
