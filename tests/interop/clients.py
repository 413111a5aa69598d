#!/usr/bin/env python3
"""Curator 2.13.0, Curator 5.7.1 and the C client library against a server of any kind.

    clients.py [kind]      default: oxkeeper

All programs are compiled here. Two of them say RESTART once; the server is then
stopped and started again, and their sessions, ephemerals and watches must live
on.
"""

import subprocess
import sys

import peers


def main():
    kind = sys.argv[1] if len(sys.argv) > 1 else "oxkeeper"
    build = peers.temporary_directory("clients")
    passed = failed = 0
    for name, command in (
        ("Curator", build_curator(build)), ("C", build_c(build)), ("Curator 5", build_newer(build)),
    ):
        if kind == "java" and name == "Curator 5":
            continue
        for line in run(kind, command):
            print(f"{name}: {line}")
            passed += line.startswith("ok ")
            failed += not line.startswith("ok ")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def build_curator(build):
    source = peers.HERE / "curator/CuratorSmoke.java"
    subprocess.run(
        ["javac", "-XDsuppressNotes", "-cp", peers.java_class_path(), "-d", str(build), str(source)],
        check=True,
    )
    return peers.java_command("CuratorSmoke", [], class_path=[str(build)])


def build_newer(build):
    """Against 3.9's classes: Curator 5 asks what 3.4 does not know."""
    source = peers.HERE / "curator/CuratorNewer.java"
    classes = build / "newer"
    subprocess.run(
        ["javac", "-XDsuppressNotes", "-Xlint:-deprecation", "-cp", peers.java_3_9_class_path(),
         "-d", str(classes), str(source)],
        check=True,
    )
    return peers.java_3_9_command("CuratorNewer", [], class_path=[str(classes)])


def build_c(build):
    program = build / "smoke"
    subprocess.run(
        ["gcc", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(peers.HERE / "c/smoke.c"),
         "-lzookeeper_mt", "-lpthread"],
        check=True,
    )
    return [str(program)]


def run(kind, command):
    """The lines of one program against a server of its own."""
    often = ["znode.container.checkIntervalMs=300"]
    with peers.Server(kind, peers.temporary_directory("data"), properties=often) as server:
        process = peers.spawn(
            command + [server.address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        lines = []
        for line in process.stdout:
            if line.strip() == "RESTART":
                server.stop()
                server.start()
                process.stdin.write("\n")
                process.stdin.flush()
            else:
                lines.append(line.rstrip())
        code = process.wait(60)
        if code not in (0, 1) or not lines:
            lines.append(f"FAILED: it ended with {code}")
        return lines


if __name__ == "__main__":
    sys.exit(main())
