#!/usr/bin/env python3
"""Runs kazoo's own test suite against servers of either kind.

    kazoo_suite.py oxkeeper                  every test of the list must pass
    kazoo_suite.py oxkeeper --servers 3      the same in an ensemble of three
    kazoo_suite.py java --record 3           writes the list: what passes 3 times
    kazoo_suite.py oxkeeper -k test_lock     pytest's -k, for work on one test
    kazoo_suite.py oxkeeper --modules test_lock,test_queue
    kazoo_suite.py oxkeeper --version 3.8    as clients of 3.8: what passes on Java 3.9.3
    kazoo_suite.py java-3.9 --version 3.8 --record 3

kazoo's harness starts its servers by running `java`. A script of that name,
first on PATH, hands the harness's zoo.cfg and -D options to the kind asked for.
The lists hold the tests that pass against Java 3.4.14 with as many servers:
kazoo-java-3.4.14.txt with one, kazoo-java-3.4.14-ensemble.txt with three. The
head of each says how it was made; kazoo-java-3.9.3.txt holds those of --version 3.8,
TLS and SASL among them, against Java 3.9.3. The test modules are shared out among a few
pytest processes, each with servers and ports of its own.
"""

import argparse
import os
import re
import sys
import time
import xml.etree.ElementTree as ElementTree

import peers

# By the version that kazoo is told, and the number of servers.
LISTS = {
    ("3.4.14", 1): peers.HERE / "kazoo-java-3.4.14.txt",
    ("3.4.14", 3): peers.HERE / "kazoo-java-3.4.14-ensemble.txt",
    ("3.8", 1): peers.HERE / "kazoo-java-3.9.3.txt",
}
JAVA_OF = {"java": "3.4.14", "java-3.9": "3.9.3"}
VERSION = "2.11.0"
SOURCES = peers.PEERS / f"kazoo-{VERSION}"
# Slow modules first, so that the processes end at about the same time.
SLOW = ["test_client", "test_watchers", "test_lock", "test_partitioner", "test_cache"]
# With more failures than these it is not for want of time.
MOST_AGAIN = 10
HEAD = """\
# Tests of kazoo {kazoo}'s own suite that pass against Java ZooKeeper {java} in each
# of {runs} runs, with ZOOKEEPER_CLUSTER_SIZE={servers} and ZOOKEEPER_VERSION={version}.
# Made by: kazoo_suite.py {kind} --version {version} --servers {servers} --record {runs}
# Not listed: tests that the suite skips for that version, or for want of a server that
# speaks Kerberos (to 3.4 TLS as well), and with one server those that need an ensemble.
"""


def main():
    options = parse_arguments()
    if options.record:
        return record(options)
    listed = listed_tests(options)
    results = run_suite(options, listed)
    if options.only:
        listed &= set(results)
    again = not_passed(listed, results)
    if 0 < len(again) <= MOST_AGAIN:
        # Many tests of kazoo wait for fixed times; beside others some come too late.
        # One that needed the quiet is named, one that fails again has failed.
        print(f"again, one by one: {', '.join(again)}")
        options.processes = 1
        results.update(run_suite(options, set(again)))
    failed = not_passed(listed, results)
    for name in failed:
        print(f"FAILED {name}: {results.get(name, 'was not run')}")
    print(f"{len(listed) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed or not listed else 0


def record(options):
    passed = None
    for _ in range(options.record):
        results = run_suite(options, None)
        good = {name for name, outcome in results.items() if outcome == "passed"}
        passed = good if passed is None else passed & good
    head = HEAD.format(
        kazoo=VERSION, java=JAVA_OF[options.kind], runs=options.record, servers=options.servers,
        version=options.version, kind=options.kind,
    )
    list_of_all = LISTS[options.version, options.servers]
    list_of_all.write_text(head + "".join(f"{name}\n" for name in sorted(passed)))
    print(f"{list_of_all.name}: {len(passed)} tests")
    return 0


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=peers.KINDS)
    parser.add_argument("--servers", type=int, default=1, choices=(1, 3))
    parser.add_argument("--version", default="3.4.14", choices=("3.4.14", "3.8"), help="what kazoo is told")
    parser.add_argument("--modules", type=lambda text: text.split(","), help="these alone")
    parser.add_argument("--record", type=int, default=0, metavar="RUNS")
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("-k", dest="only", help="pytest's expression")
    parser.add_argument("--without", default="", metavar="NAME", help="leaves out the tests whose names have it")
    return parser.parse_args()


def not_passed(names, results):
    return sorted(name for name in names if results.get(name) != "passed")


def listed_tests(options):
    lines = LISTS[options.version, options.servers].read_text().splitlines()
    names = {line for line in lines if line and not line.startswith("#")}
    if options.without:
        names = {name for name in names if options.without not in name}
    if not options.modules:
        return names
    return {name for module in options.modules for name in of_module(names, module)}


def of_module(names, module):
    return sorted(name for name in names if f".{module}." in name)


def node_id(name):
    """kazoo.tests.test_lock.TestLock::test_x, as pytest wants it."""
    place, test = name.split("::")
    *folders, module, group = place.split(".")
    return f"{'/'.join(folders)}/{module}.py::{group}::{test}"


def run_suite(options, names):
    """One run of the tests named, or of all: test name -> passed, skipped or
    failure text."""
    directory = peers.temporary_directory("kazoo")
    shim_directory = write_java_shim(directory, options.kind)
    waiting = [module for module in modules() if names is None or of_module(names, module)]
    running = []
    results = {}
    while waiting or running:
        while waiting and len(running) < options.processes:
            module = waiting.pop(0)
            tests = None if names is None else of_module(names, module)
            report = directory / f"{module}.xml"
            process = start_pytest(module, tests, shim_directory, report, options)
            running.append((process, module, report, time.monotonic()))
        for item in list(running):
            process, module, report, began = item
            if process.poll() is None:
                continue
            running.remove(item)
            found = read_report(report)
            results.update(found)
            bad = [name for name, outcome in found.items() if outcome not in ("passed", "skipped")]
            print(
                f"{module}: {len(found)} tests, {len(bad)} not passed,"
                f" {time.monotonic() - began:.0f} s",
                flush=True,
            )
        time.sleep(0.05)
    return results


def modules():
    """The modules whose tests start a server; the others test kazoo alone."""
    names = sorted(
        path.stem
        for path in (SOURCES / "kazoo/tests").glob("test_*.py")
        if re.search("KazooTestCase|KazooTestHarness|tests import test_", path.read_text())
    )
    return [name for name in SLOW if name in names] + [name for name in names if name not in SLOW]


def start_pytest(module, tests, shim_directory, report, options):
    environment = dict(os.environ)
    environment.update(
        PATH=f"{shim_directory}:{os.environ['PATH']}",
        ZOOKEEPER_CLASSPATH=peers.java_3_9_class_path() if options.kind == "java-3.9" else peers.java_class_path(),
        ZOOKEEPER_VERSION=options.version,
        ZOOKEEPER_CLUSTER_SIZE=str(options.servers),
        # The harness takes five ports for each server, and begins anew every ten.
        ZOOKEEPER_PORT_OFFSET=str(peers.free_ports(10 * options.servers)),
        # Its data directories, which a killed harness leaves behind.
        TMPDIR=str(report.parent),
    )
    if options.version != "3.4.14":
        # Else kazoo asks the server for its version, and ours says 3.4.14.
        environment["CI"] = "1"
    command = [
        str(peers.PEERS / "venv/bin/python"), "-m", "pytest", "-q", "-p", "no:cacheprovider",
        "--timeout=120", f"--junitxml={report}",
    ]
    if options.only:
        command += ["-k", options.only]
    command += [node_id(name) for name in tests] if tests else [f"kazoo/tests/{module}.py"]
    with open(report.with_suffix(".log"), "wb") as log:
        return peers.spawn(command, cwd=SOURCES, env=environment, stdout=log, stderr=log)


def read_report(report):
    results = {}
    if not report.exists():
        return results
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        outcome = "passed"
        for child in case:
            if child.tag in ("failure", "error"):
                outcome = f"{child.tag}: {child.get('message')}"[:500]
            elif child.tag == "skipped" and outcome == "passed":
                outcome = "skipped"
        results[name] = outcome
    return results


def write_java_shim(directory, kind):
    """A `java` that starts a server of `kind` with the harness's zoo.cfg."""
    shim_directory = directory / "bin"
    shim_directory.mkdir()
    shim = shim_directory / "java"
    shims = {"java": JAVA_SHIM, "java-3.9": NEWER_JAVA_SHIM}
    shim.write_text(shims.get(kind) or OXKEEPER_SHIM.format(binary=peers.oxkeeper_binary()))
    shim.chmod(0o755)
    return shim_directory


# A server must not outlive its pytest, even one that was killed.
#
# The harness asks for Netty, whose version 3 is not among the peers' jars; the
# default of 3.4.14 serves as well.
JAVA_SHIM = """\
#!/usr/bin/env bash
config="${@: -1}"
sed -i '/^serverCnxnFactory=/d' "$config"
export PATH="${PATH#*:}"
exec setpriv --pdeathsig KILL java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC "$@"
"""

# There is no Jetty among the peers' jars.
NEWER_JAVA_SHIM = """\
#!/usr/bin/env bash
export PATH="${PATH#*:}"
exec setpriv --pdeathsig KILL java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dzookeeper.admin.enableServer=false "$@"
"""

# Its key stores are Java's own, with certificates of X.509 version 1; oxkeeper refuses
# both, and 3.4.14 opens no port for them either. tls.py speaks TLS.
OXKEEPER_SHIM = """\
#!/usr/bin/env bash
config="${{@: -1}}"
sed -i -E '/^(secureClientPort|ssl\\.)/d' "$config"
options=()
for word in "$@"; do
    case "$word" in -D*) options+=("$word") ;; esac
done
# Beside the file that Java's log4j would write, which the harness shows.
exec setpriv --pdeathsig KILL "{binary}" "${{options[@]}}" server "$config" >>"$(dirname "$config")/zookeeper.log" 2>&1
"""

if __name__ == "__main__":
    sys.exit(main())
