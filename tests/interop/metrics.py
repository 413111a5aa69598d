#!/usr/bin/env python3
"""What the metrics port gives, read by Prometheus' own parser for Python, and
by promtool if that is installed.

    metrics.py

It needs Python's `prometheus_client`, which install.sh does not install; nothing
else runs it. `tests/it/admin` looks at the same text with less of an eye.
"""

import math
import shutil
import subprocess
import sys
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

import peers
import wire

CLASS = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider"
# Figures of Java 3.6 to 3.9 that dashboards are made of.
JAVAS = """avg_latency max_latency min_latency packets_received packets_sent num_alive_connections
    outstanding_requests uptime znode_count watch_count ephemerals_count approximate_data_size global_sessions
    open_file_descriptor_count max_file_descriptor_count bytes_received_count response_bytes looking_count
    diff_count snap_count commit_count proposal_count connection_rejected connection_drop_count
    stale_sessions_expired fsynctime snapshottime dbinittime readlatency updatelatency election_time
    unavailable_time sync_processor_batch_size prep_processor_queue_time_ms sync_processor_queue_time_ms
    prep_process_time sync_process_time commit_process_time""".split()


def main():
    passed = failed = 0
    for test in (parsed, linted):
        try:
            print(f"ok {test.__name__}: {test()}", flush=True)
            passed += 1
        except (AssertionError, OSError, ValueError, wire.Refused) as problem:
            failed += 1
            print(f"FAILED {test.__name__}: {str(problem)[:800]}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def scrape():
    """The text of a server that has served some requests."""
    port = peers.free_port()
    config = [f"metricsProvider.className={CLASS}", f"metricsProvider.httpPort={port}"]
    with peers.Server("oxkeeper", peers.temporary_directory("metrics"), config=config) as server:
        client = wire.Client(server.port)
        for number in range(20):
            client.create(f"/n{number}", b"x" * number)
            client.get(f"/n{number}")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return answer.read().decode()


def parsed():
    families = {family.name: family for family in text_string_to_metric_families(scrape())}
    missing = [name for name in JAVAS if name not in families]
    assert not missing, f"missing: {missing}"
    for family in families.values():
        assert family.documentation and family.samples, family
        if family.type == "histogram":
            check_histogram(family)
    latency = families["updatelatency"]
    assert latency.type == "summary", latency.type
    total = next(sample.value for sample in latency.samples if sample.name == "updatelatency_count")
    assert total >= 20, total
    return f"{len(families)} families"


def check_histogram(family):
    """Buckets grow with their edges, and the last one holds all."""
    series = {}
    for sample in family.samples:
        labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))
        one = series.setdefault(labels, {"buckets": [], "count": None})
        if sample.name.endswith("_bucket"):
            one["buckets"].append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_count"):
            one["count"] = sample.value
    for labels, one in series.items():
        edges, counts = zip(*one["buckets"])
        assert list(edges) == sorted(edges) and math.isinf(edges[-1]), (family.name, labels)
        assert list(counts) == sorted(counts) and counts[-1] == one["count"], (family.name, labels)


def linted():
    if not shutil.which("promtool"):
        return "no promtool is installed; the parser alone has judged"
    run = subprocess.run(["promtool", "check", "metrics"], input=scrape(), text=True, capture_output=True)
    # 3 says that names or units are not in Prometheus' taste; Java's names are not.
    complaints = [line for line in run.stderr.splitlines() if "oxkeeper_" in line]
    assert run.returncode in (0, 3) and not complaints, (run.returncode, complaints or run.stderr)
    return f"promtool ended with {run.returncode}"


if __name__ == "__main__":
    sys.exit(main())
