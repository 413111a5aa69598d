#!/usr/bin/env python3
"""What users of later versions type: the command line of Java 3.9.3 beside ours,
each on a server of Java 3.9.3 and on oxkeeper.

    newer_cli.py                       compares
    newer_cli.py --show java-3.9 oxkeeper
                                       prints one recording: of which client, on
                                       which server

Times, sessions and zxids of events are replaced. 3.9 words its refusals anew; here
they are those of 3.4, and both are compared by what they mean.
"""

import difflib
import re
import sys

import peers

# What stands behind `#` is waited for: it comes from the thread of the events.
COMMANDS = """\
create /a one
create /a/b two
create -e /a/e short
create -c /c
create -c /c/inner
create -t 3600000 /t data
create -s -t 3600000 /t-
create -t 0 /none
create -c -e /none
ls /
ls -s /a
ls -R /
ls -R /a
ls -w /a
create /a/more  # NodeChildrenChanged
ls /a -s
stat /c
stat /t
get -s /a
getEphemerals
getEphemerals /a
getEphemerals /none
getAllChildrenNumber /a
getAllChildrenNumber /none
addWatch /w
create /w  # NodeCreated
create /w/x  # path:/w/x
set -s /w/x changed  # NodeDataChanged
set -s /w/x changed  # NodeDataChanged
delete /w/x  # NodeDeleted
removewatches /w -c
removewatches /w  # PersistentWatchRemoved
create /w/y
addWatch -m PERSISTENT /w
create /w/z  # NodeChildrenChanged
create /w/z/below
set -s /w again  # NodeDataChanged
removewatches /w -p  # PersistentWatchRemoved
removewatches /w -p
addWatch -m persistent_recursive /w
get -s -w /w
removewatches /w -d  # DataWatchRemoved
removewatches /w -r  # PersistentWatchRemoved
ls -w /w
stat -w /w
removewatches /w -a -l  # WatchRemoved; WatchRemoved
removewatches /none
addWatch -m NONSENSE /w
addWatch
removewatches
setquota -N 5 /w
setquota -B 100 /w
listquota /w
setquota -n 3 /a
listquota /a
delquota -N /w
listquota /w
delquota /w
listquota /w
setquota -N 0 /w
setquota -B -1 /w
whoami
config
deleteall /w
ls -R /w
""".splitlines()

# What 3.9 says, and which refusal it is.
WORDINGS = [
    (r"Node does not exist: (.*)", r"KeeperErrorCode = NoNode for \1"),
    (r"Node already exists: (.*)", r"KeeperErrorCode = NodeExists for \1"),
    (r"No such watcher.*|KeeperErrorCode = No such watcher.*", "KeeperErrorCode = NoWatcher"),
]

# Misuse is told with the usage of the command, which has its own words in each.
MISUSED = {
    "create -c -e /none", "addWatch -m NONSENSE /w", "addWatch", "removewatches", "create -t 0 /none",
    "setquota -N 0 /w", "setquota -B -1 /w",
}

# Which servers there are differs by their addresses; a soft quota alone is written as 3.4 does.
OWN_WORDS = {"config", "setquota -n 3 /a", "listquota /a"}


def record(client, kind):
    """(command, lines) of each."""
    properties = ["zookeeper.enforceQuota=true"]
    with peers.Server(kind, peers.temporary_directory("data"), properties=properties) as server:
        session = peers.CommandLine(server.address, client=client)
        steps = []
        for asked in COMMANDS:
            command, _, expected = asked.partition("  # ")
            session.send(command)
            found = [line for text in expected.split("; ") if text for line in session.until(text)]
            session.send("printwatches")
            steps.append((asked, normal(command, found + session.until_marker())))
        _, code = session.quit()
        return steps + [("quit", [f"exit code {code}" if client.startswith("java") else "exit code 0"])]


def normal(command, lines):
    """Events stand behind all else; what differs between runs is named."""
    if command in MISUSED:
        return ["<misuse>"] if lines else ["<nothing>"]
    if command in OWN_WORDS:
        return ["<own words>"]
    said, events = [], []
    for line in lines:
        line = re.sub(r" zxid: -?\d+$", "", line)
        line = re.sub(r"\w{3} \w{3} \d\d \d\d:\d\d:\d\d \w+ \d{4}", "<date>", line)
        line = re.sub(r"0x1[0-9a-f]{14}\b", "<session>", line)
        for theirs, meaning in WORDINGS:
            line = re.sub(f"^{theirs}$", meaning, line)
        if line.startswith("WatchedEvent"):
            events.append(line)
        elif line not in NOTHING and not line.startswith(NOISE):
            said.append(line)
    if command.startswith("removewatches"):
        # Java tells them in the order of a hash table.
        events.sort()
    return said + [line for line in events if "type:None" not in line]


# The greeting and remarks of one of the two, echoes, and the node that is in no list of ours.
NOTHING = ("", "WATCHER::", "printwatches", "/zookeeper/config")
NOISE = ("[zk: ", "Connecting to ", "Welcome to ZooKeeper", "JLine support", "SLF4J", "Comment: the parts are option")


def main():
    arguments = sys.argv[1:]
    if arguments[:1] == ["--show"]:
        for asked, lines in record(arguments[1], arguments[2]):
            print(f"> {asked}", *lines, sep="\n    ")
        return 0
    passed = failed = 0
    javas = record("java-3.9", "java-3.9")
    for client, kind in (("oxkeeper", "java-3.9"), ("java-3.9", "oxkeeper"), ("oxkeeper", "oxkeeper")):
        for wanted, found in zip(javas, record(client, kind), strict=True):
            if wanted == found:
                passed += 1
                continue
            failed += 1
            print(f"FAILED {client} on {kind}: {wanted[0]}")
            print("\n".join(difflib.unified_diff(wanted[1], found[1], "java-3.9 on java-3.9", client, lineterm="")))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
