"""What `oxkeeper bench` measures: throughput, and the latencies under it."""

PIPELINED = ("-c", 64, "-i", 32, "-b", 1024, "-k", 1000)


def pipelined(key, share):
    def measure(run, ensemble):
        report = run.bench(ensemble, *PIPELINED, "-p", share)
        run.percentiles.setdefault(key, {})[ensemble.kind] = slowest_part(report)
        yield key, rate(report)
        yield f"{key}-p99", percentile(report, "p99_us")
        yield f"{key}-p999", percentile(report, "p999_us")
        yield f"{key}-tail", tail(report)
        yield f"{key}-worst", worst_second(report)
        cpu = report["cpu"]
        if cpu["servers_cores"] is not None:
            yield f"{key}-servers-cores", cpu["servers_cores"]
        yield f"{key}-own-cores", cpu["own_cores"]

    return measure


def waiting(key, count, share):
    def measure(run, ensemble):
        report = run.bench(ensemble, "-c", count, "-i", 1, "-b", 1024, "-k", 1000, "-p", share)
        yield key, rate(report)
        for name in ("p50", "p99", "p999"):
            yield f"{key}-{name}", percentile(report, f"{name}_us")

    return measure


def rate(report):
    return sum(part["per_s"] or 0 for part in report["parts"].values())


def percentile(report, name):
    return slowest_part(report)[name]


def slowest_part(report):
    """Reads or writes, whatever has the longer tail."""
    parts = [part for part in report["parts"].values() if part["count"]]
    if not parts:
        raise AssertionError("nothing was answered")
    return max(parts, key=lambda part: part["p999_us"])


def tail(report):
    part = slowest_part(report)
    return part["p999_us"] / max(part["p50_us"], 0.1)


def worst_second(report):
    """Percent of the mean that the worst whole second had."""
    whole = int(report["seconds"] * 1e3 // report["window_ms"])
    # Behind the last window with an answer there may be others without one.
    counts = [window["operations"] for window in report["windows"]][:whole]
    counts += [0] * (whole - len(counts))
    return 100 * min(counts) / max(sum(counts) / len(counts), 1)
