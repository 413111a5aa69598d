#!/usr/bin/env python3
"""What two servers make of a zoo.cfg or a command line: do they serve, and what
does the word conf say then; or with which exit code do they end.

    starts.py [one [other]]     kinds of server, default: java oxkeeper
    starts.py --show java       prints the outcomes of one server
"""

import concurrent.futures
import re
import socket
import sys

import peers


def main():
    if sys.argv[1:2] == ["--show"]:
        for name in list(CONFIGS) + list(COMMAND_LINES):
            print(f"{name}: {outcome(sys.argv[2], name)}")
        return 0
    one, other = (sys.argv[1:] + ["java", "oxkeeper"][len(sys.argv[1:]) :])[:2]
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        names = list(CONFIGS) + list(COMMAND_LINES)
        for name, wanted, found in zip(
            names,
            pool.map(lambda name: outcome(one, name), names),
            pool.map(lambda name: outcome(other, name), names),
        ):
            if other == "oxkeeper":
                wanted = OURS.get(name, wanted)
            if wanted == found:
                passed += 1
            else:
                failed += 1
                print(f"FAILED {name}:\n  {one}: {wanted}\n  {other}: {found}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


# zoo.cfg, with DIR, PORT and USED (a port that somebody listens on).
BASE = "dataDir=DIR/data\nclientPort=PORT\n"
CONFIGS = {
    "the least": BASE,
    "blanks and colons": "  dataDir = DIR/data  \nclientPort : PORT\ntickTime 1500\n",
    "comments": "# one\n! two\n  # three\n\n" + BASE,
    "continued line": "dataDir=DIR/\\\n   data\nclientPort=PORT\n",
    "escapes": "dataD\\u0069r=DIR/d\\u0061ta\nclient\\Port=PORT\n",
    "last of two wins": "tickTime=1000\ntickTime=1700\n" + BASE,
    "line ends of another system": BASE.replace("\n", "\r\n") + "tickTime=1600\r\n",
    "no dataDir": "clientPort=PORT\n",
    "no clientPort": "dataDir=DIR/data\n",
    "clientPort 0": "dataDir=DIR/data\nclientPort=0\n",
    "clientPort too large": "dataDir=DIR/data\nclientPort=70000\n",
    "clientPort negative": "dataDir=DIR/data\nclientPort=-1\n",
    "clientPort no number": "dataDir=DIR/data\nclientPort=abc\n",
    "clientPort in use": "dataDir=DIR/data\nclientPort=USED\n",
    "tickTime 0": BASE + "tickTime=0\n",
    "tickTime negative": BASE + "tickTime=-5\n",
    "tickTime empty": BASE + "tickTime=\n",
    "tickTime with a plus": BASE + "tickTime=+1500\n",
    "tickTime no number": BASE + "tickTime=2s\n",
    "tickTime too large": BASE + "tickTime=3000000000\n",
    "min alone": BASE + "minSessionTimeout=5000\n",
    "max alone": BASE + "maxSessionTimeout=90000\n",
    "min over max": BASE + "minSessionTimeout=9000\nmaxSessionTimeout=8000\n",
    "both timeouts": BASE + "minSessionTimeout=100\nmaxSessionTimeout=80000\n",
    "max negative": BASE + "maxSessionTimeout=-5\n",
    "maxClientCnxns": BASE + "maxClientCnxns=3\n",
    "maxClientCnxns negative": BASE + "maxClientCnxns=-3\n",
    "maxClientCnxns no number": BASE + "maxClientCnxns=many\n",
    "unknown keys": BASE + "what.is=this\n4lw.commands.whitelist=*\nadmin.enableServer=false\n",
    "address": BASE + "clientPortAddress=127.0.0.1\n",
    "address of nobody": BASE + "clientPortAddress=192.0.2.1\n",
    "address that is no name": BASE + "clientPortAddress=no.such.host.invalid\n",
    "dataLogDir": BASE + "dataLogDir=DIR/log\n",
    "dataDir with a file in its way": "dataDir=DIR/file/data\nclientPort=PORT\n",
    "autopurge": BASE + "autopurge.snapRetainCount=1\nautopurge.purgeInterval=1\n",
    "autopurge no number": BASE + "autopurge.purgeInterval=x\n",
    "peerType unknown": BASE + "peerType=nobody\n",
    "peerType observer": BASE + "peerType=observer\n",
    "electionAlg no number": BASE + "electionAlg=x\n",
    "initLimit no number": BASE + "initLimit=x\n",
    "one server": BASE + "server.1=127.0.0.1:2888:3888\n",
    "one observer": BASE + "server.1=127.0.0.1:2888:3888:observer\n",
    "server without ports": BASE + "server.1=127.0.0.1\n",
    "server number no number": BASE + "server.x=127.0.0.1:2888:3888\n",
    "server role unknown": BASE + "server.1=127.0.0.1:2888:3888:king\n",
    "three servers, no limits": BASE + "".join(
        f"server.{n}=127.0.0.1:{2888 + n}:{3888 + n}\n" for n in (1, 2, 3)
    ),
    "three servers, no myid": BASE + "initLimit=5\nsyncLimit=2\n" + "".join(
        f"server.{n}=127.0.0.1:{2888 + n}:{3888 + n}\n" for n in (1, 2, 3)
    ),
    "group without servers": BASE + "group.1=1:2\n",
    "sasl asked for by half": BASE + "quorum.auth.serverRequireSasl=true\n",
    "empty file": "",
}

# A member of an ensemble that waits for the others, and what may be wrong with it:
# lines that replace those of the same key, and files below DIR/data.
MEMBER = BASE + "initLimit=5\nsyncLimit=2\n" + "".join(
    f"server.{n}=127.0.0.1:MEMBER{n}\n" for n in (1, 2, 3)
)
EPOCH_1 = {"myid": "1", "version-2/currentEpoch": "1", "version-2/acceptedEpoch": "1"}
MEMBERS = {
    "member": ("", {"myid": "1"}),
    "member of epoch 1": ("", EPOCH_1),
    "member without epoch files": ("", {"myid": "1", "version-2/updatingEpoch": ""}),
    "member, files left over": ("", {**EPOCH_1, "version-2/currentEpoch.tmp": "x"}),
    "member without myid": ("", {}),
    "member, myid empty": ("", {"myid": ""}),
    "member, myid no number": ("", {"myid": "one"}),
    "member, myid with a blank": ("", {"myid": " 1"}),
    "member, myid not listed": ("", {"myid": "4"}),
    "member listed twice": ("server.2=127.0.0.1:1:2\nserver.2=127.0.0.1:MEMBER2\n", EPOCH_1),
    "member listed under two spellings": ("server.02=127.0.0.1:MEMBER3\n", EPOCH_1),
    "member without election port": ("server.3=127.0.0.1:2888\n", EPOCH_1),
    "member in two groups": ("group.1=1:2\ngroup.2=2:3\n", EPOCH_1),
    "member in no group": ("group.1=1:2\n", EPOCH_1),
    "member, all in groups": ("group.1=1:2\ngroup.2=3\nweight.3=0\n", EPOCH_1),
    "member, currentEpoch empty": ("", {**EPOCH_1, "version-2/currentEpoch": ""}),
    "member, currentEpoch no number": ("", {**EPOCH_1, "version-2/currentEpoch": "1x"}),
    "member, acceptedEpoch of zeros": ("", {**EPOCH_1, "version-2/acceptedEpoch": "\0"}),
    "member, acceptedEpoch too old": ("", {**EPOCH_1, "version-2/currentEpoch": "2"}),
    "member, acceptedEpoch missing": ("", {"myid": "1", "version-2/currentEpoch": "2"}),
}
CONFIGS.update({name: MEMBER + lines for name, (lines, _) in MEMBERS.items()})

# Where oxkeeper does better on purpose: 3.4.14 serves with timeouts below zero, ends
# without a word about the file, takes one of two lines, and has one code for all that
# is wrong with data.
OURS = {
    "tickTime negative": "ends with 2",
    "server without ports": "ends with 2",
    "member listed twice": "ends with 2",
    "member listed under two spellings": "ends with 2",
    "member, myid not listed": "ends with 2",
    "member, currentEpoch empty": "ends with 14",
    "member, currentEpoch no number": "ends with 14",
    "member, acceptedEpoch of zeros": "ends with 14",
    "member, acceptedEpoch too old": "ends with 14",
    "member, acceptedEpoch missing": "ends with 14",
}

# Arguments instead of a zoo.cfg.
COMMAND_LINES = {
    "no such file": ["DIR/none.cfg"],
    "a directory": ["DIR"],
    "port and directory": ["PORT", "DIR/data"],
    "port, directory, tick": ["PORT", "DIR/data", "1234"],
    "port, directory, tick, connections": ["PORT", "DIR/data", "1234", "5"],
    "too many": ["PORT", "DIR/data", "1234", "5", "6"],
    "port no number": ["abc", "DIR/data"],
    "tick no number": ["PORT", "DIR/data", "x"],
}


def outcome(kind, name):
    """`serves:` and the answer to conf, `waits for the others`, or `ends with N`."""
    directory = peers.temporary_directory("start")
    (directory / "file").write_text("")
    for file, text in MEMBERS.get(name, ("", {}))[1].items():
        path = directory / "data" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    port = peers.free_port()
    with socket.socket() as used:
        used.bind(("0.0.0.0", 0))
        used.listen()
        names = {"DIR": str(directory), "PORT": str(port), "USED": str(used.getsockname()[1])}
        if name in MEMBERS:
            ports = {f"MEMBER{n}": f"{peers.free_port()}:{peers.free_port()}" for n in (1, 2, 3)}
            names.update(ports)
        if name in CONFIGS:
            config = directory / "zoo.cfg"
            config.write_text(replaced(CONFIGS[name], names), newline="")
            arguments = [str(config)]
        else:
            arguments = [replaced(word, names) for word in COMMAND_LINES[name]]
        with open(directory / "output", "wb") as output:
            process = peers.spawn(command(kind, arguments), stdout=output, stderr=output)
        text = watch(process, port, may_wait=name in MEMBERS)
        process.kill()
        process.wait()
    for short, long in names.items():
        text = text.replace(long, short)
    return text


def command(kind, arguments):
    if kind == "java":
        return [str(peers.HERE / "java-server.sh")] + arguments
    return [peers.oxkeeper_binary(), "server"] + arguments


def watch(process, port, may_wait):
    """Until the process ends or answers. One that listens on another port than
    asked, or on none, is seen to live on."""
    answer = []

    def settled():
        if process.poll() is not None:
            return True
        try:
            answer[:] = [peers.four_letter_word(port, "conf")]
        except OSError:
            return False
        # One that stands alone says so for a moment only.
        return "clientPort=" in answer[0] or may_wait and NOT_SERVING in answer[0]

    try:
        peers.wait_until(settled, 30, "an end or an answer")
    except AssertionError:
        return "lives on and serves nobody on that port"
    if process.poll() is not None:
        return f"ends with {process.returncode}"
    if NOT_SERVING in answer[0]:
        return "waits for the others"
    return "serves: " + re.sub(r"\s+", " ", answer[0])


NOT_SERVING = "not currently serving requests"


def replaced(text, names):
    for short, long in names.items():
        text = re.sub(rf"\b{short}\b", long, text)
    return text


if __name__ == "__main__":
    sys.exit(main())
