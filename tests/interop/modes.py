#!/usr/bin/env python3
"""What members of an ensemble do seldom: oxkeeper beside Java 3.4.14.

    modes.py [part...]      parts: readonly leaderserves rollover; default: all

readonly      one server of three serves reads without a quorum to those who
              allow it, refuses the rest, and ends that when there is a leader;
              all that can be seen is compared with Java
leaderserves  a leader that takes no clients; compared likewise
rollover      the last number of an epoch is used up again and again, in mixed
              ensembles under writes: no acknowledged write and no session is lost
"""

import sys
import time

import ensemble
import peers
import wire
from ensemble import Ensemble, J, O

READ_ONLY = "readonlymode.enabled=true"


def compare(observe):
    """Runs a scenario on three servers of each kind; what was seen must be the same."""
    seen = {}
    for kind in (J, O):
        seen[kind] = observe(Ensemble(kind, kind, kind))
        Ensemble.last.kill_all()
    for java, ours in zip(seen[J], seen[O]):
        assert java == ours, f"Java: {java}; oxkeeper: {ours}"
    assert len(seen[J]) == len(seen[O]), seen
    print(f"   {len(seen[J])} observations are the same")


def outcome(action):
    """What an action gives, or how it fails."""
    try:
        return action()
    except wire.Refused as refused:
        return refused.code
    except OSError:
        return "hung up"


def words_of(node):
    """What the four-letter words say of the mode, without what changes."""
    answers = {word: node.server.word(word) for word in ("isro", "ruok", "srvr", "stat", "mntr", "cons")}
    modes = [line for line in answers["srvr"].splitlines() + answers["mntr"].splitlines()
             if line.startswith(("Mode", "READ-ONLY", "zk_server_state", "zk_followers", "This"))]
    return [answers["isro"], answers["ruok"], modes, answers["stat"].splitlines()[1:2]]


def read_only(members):
    """What becomes of sessions that begin without a quorum is not compared: Java gives
    them zxids, so that the server may win the election with what no log holds."""
    for node in members.nodes.values():
        node.server.properties = [READ_ONLY]
    members.start(3)
    alone, others = members.nodes[2], [members.nodes[1], members.nodes[3]]
    client = alone.client()
    client.create("/a", b"data")
    client.create("/e", flags=wire.EPHEMERAL)
    seen = [words_of(alone)]
    for node in others:
        node.server.kill()
    peers.wait_until(lambda: alone.server.word("isro") == "null", 30, "the end of the role")
    seen += ["null"]
    began = time.monotonic()
    peers.wait_until(lambda: alone.server.word("isro") == "ro", 30, "read-only mode")
    waited = time.monotonic() - began
    assert waited > 1, f"read-only after {waited} s"
    seen += [words_of(alone)]
    for read_only in (False, None):
        seen += [outcome(lambda: wire.Client(alone.port, read_only=read_only).timeout_ms)]
    seen += [outcome(lambda: wire.Client(alone.port, read_only=True, last_zxid=1 << 40).timeout_ms)]
    reader = wire.Client(alone.port, timeout_ms=9000, read_only=True)
    # Java names such sessions as server 1 does, whichever it is.
    seen += [reader.is_read_only, reader.timeout_ms, len(reader.password)]
    seen += [reader.get("/a", watch=True)[0], reader.exists("/none"), sorted(reader.children("/")),
             reader.get_acl("/a")[0], bool(reader.exists("/e"))]
    for action in (
        lambda: reader.create("/b"),
        lambda: reader.delete("/a"),
        lambda: reader.set("/a", b""),
        lambda: reader.set_acl("/a", wire.READ_ACL),
        lambda: reader.multi(("create", "/b")),
        lambda: reader.sync("/"),
        lambda: reader.get("/none"),
        reader.ping,
    ):
        seen += [outcome(action)]
    known = wire.Client(alone.port, session=client.session, read_only=True)
    seen += [known.session_id == client.session_id, known.is_read_only, known.get("/a")[0]]
    seen += [outcome(lambda: wire.Client(alone.port, session=(client.session_id, bytes(16)), read_only=True).timeout_ms)]
    brief = wire.Client(alone.port, read_only=True)
    seen += [outcome(brief.close)]
    others[0].start(wait=False)
    seen += [hung_up(reader), hung_up(known)]
    alone.server.wait_serving()
    peers.wait_until(lambda: alone.server.word("isro") == "rw", 60, "a leader")
    again = wire.Client(alone.port, session=client.session)
    seen += [again.session_id == client.session_id, again.is_read_only]
    again.sync("/")
    seen += [bool(again.exists("/e")), again.create("/b")]
    return seen


def hung_up(client):
    """Whether the server closes the connection before long."""
    client.socket.settimeout(60)
    return outcome(client._receive)


def leader_serves(members):
    for node in members.nodes.values():
        node.server.config_path.write_text(node.server.config_path.read_text() + "leaderServes=no\n")
    # Those that serve are the followers.
    for node in members.nodes.values():
        node.start(wait=False)
    serving = lambda: [node for node in members.nodes.values() if node.mode() == "follower"]
    followers = peers.wait_until(lambda: len(serving()) == 2 and serving(), 60, "two followers")
    leader = next(node for node in members.nodes.values() if node not in followers)
    seen = [node.number for node in followers]
    seen += [leader.server.word(word) for word in ("srvr", "mntr", "isro", "ruok", "stat")]
    seen += [outcome(lambda: wire.Client(leader.port).timeout_ms)]
    for node in followers:
        client = node.client()
        seen += [client.create(f"/by-{node.number}", flags=wire.EPHEMERAL)]
        seen += [outcome(lambda: wire.Client(leader.port, session=client.session).timeout_ms)]
        client.close()
    # Another one leads: who led serves now, and who leads now does not any more.
    session = followers[1].client()
    leader.server.kill()
    leader.start(wait=False)
    seen += [hung_up(session)]
    now = peers.wait_until(lambda: len(serving()) == 2 and serving(), 60, "two followers again")
    client = next(node for node in now if node is leader).client()
    seen += [client.create("/by-the-former-leader")]
    return seen


def roll_over(*kinds):
    """Epochs of 255 transactions, under a load of writes."""
    members = Ensemble(*kinds)
    for node in members.nodes.values():
        text = node.server.config_path.read_text()
        node.server.config_path.write_text(text + "testingonly.initialZxid=4294967040\n")
    members.start(3)
    load = ensemble.Load(members)
    load.start()
    epochs = lambda: max(zxid(node) for node in members.running()) >> 32
    first = epochs()
    peers.wait_until(lambda: epochs() >= first + ROLL_OVERS, 120, f"{ROLL_OVERS} more epochs")
    load.wait_for_more(20)
    load.stopped.set()
    load.join(60)
    text = "".join(node.server.log_text() for node in members.nodes.values())
    assert text.count("zxid lower 32 bits have rolled over") >= ROLL_OVERS, "nobody has given up its reign"
    tree = members.same_trees()
    lost = [path for path in load.done if path not in tree]
    assert not lost, f"{len(lost)} of {len(load.done)} acknowledged writes are lost: {lost[:5]}"
    assert not load.lost_sessions, f"{load.lost_sessions} sessions were lost"
    pause_ms = load.longest_pause_s * 1000
    print(f"   {len(load.done)} writes, epochs {first} to {epochs()}, longest pause {pause_ms:.0f} ms")
    return members


def zxid(node):
    words = node.server.word("srvr").split("Zxid: 0x")
    return int(words[1].split()[0], 16) if len(words) > 1 else 0


ROLL_OVERS = 3
PARTS = {
    "readonly": [("reads without a quorum", lambda: compare(read_only))],
    "leaderserves": [("a leader without clients", lambda: compare(leader_serves))],
    "rollover": [
        ("three of ours", lambda: roll_over(O, O, O)),
        ("ours leads Java", lambda: roll_over(J, J, O)),
        ("Java leads ours", lambda: roll_over(O, O, J)),
    ],
}

if __name__ == "__main__":
    ensemble.PARTS = PARTS
    sys.exit(ensemble.main(list(PARTS)))
