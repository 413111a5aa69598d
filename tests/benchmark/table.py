"""The results as files: table.md, results.json and pictures."""

import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess

import pictures
import rows
import yardsticks
from servers import CONFIGURATION, JAVA_HEAP, OURS, THEIRS, peers


def write(out, run, probes):
    """All that is known so far."""
    lines = head(run)
    shown = {row.key: row for probe in probes for row in probe.rows if is_asked_for(run, row)}
    for section in rows.SECTIONS:
        lines += of_section(run, section, [row for row in shown.values() if row.section == section])
    lines += of_yardsticks(run)
    for title, names, cells in run.scaling:
        lines += ["", f"## {title}", "", *markdown(names, cells)]
    lines += of_failures(run, shown)
    (out / "table.md").write_text("\n".join(lines) + "\n")
    results = {
        "values": run.values, "yardsticks": run.yardsticks, "failures": run.failures, "shares": run.shares,
        "percentiles": run.percentiles, "timelines": run.timelines, "scaling": run.scaling, "head": lines[:4],
    }
    (out / "results.json").write_text(json.dumps(results, indent=1))
    for name, svg in pictures.all_of(run):
        (out / name).write_text(svg)


def is_asked_for(run, row):
    return not run.options.only or row.key in run.options.only.split(",")


def head(run):
    options = run.options
    sizes = f" Quick: {run.nodes:,} nodes instead of a million, and short runs: figures mean little." if options.quick else ""
    return [
        f"oxkeeper {revision()} beside ZooKeeper 3.4.14, {datetime.date.today()}: {machine()}; {java()}.",
        f"Medians of {options.rounds} rounds of {options.seconds} s, in alternation; least and most in brackets. Rows of"
        f" memory, of large trees and of the return under load: one round.{sizes}",
        f"Both with {', '.join(CONFIGURATION)}, maxClientCnxns=0, each write synced to the disk; the JVM with"
        f" {JAVA_HEAP} and defaults else. Loads: nodes of 1 KiB, 64 connections with 32 requests under way each.",
        "A ratio above 1 means that oxkeeper is better.",
    ]


def of_section(run, section, group):
    cells = []
    for row in group:
        values = run.values.get(row.key, {OURS: [], THEIRS: []})
        if not values[OURS] and not values[THEIRS] and row.key not in run.failures:
            continue
        kinds = [figure(run, row, kind, values[kind]) for kind in (OURS, THEIRS)]
        cells.append([row.text, *kinds, ratio(row, values[OURS], values[THEIRS]), row.aim])
    if not cells:
        return []
    return ["", f"## {section}", "", *markdown(["", "oxkeeper", "ZooKeeper 3.4.14", "ratio", "aim"], cells)]


def figure(run, row, kind, values):
    failures = run.failures.get(row.key, {})
    if kind in failures or "both" in failures:
        return "failed" + (f" ({shown(values, row.unit)} before)" if values else "")
    return shown(values, row.unit) if values else "-"


def ratio(row, ours, theirs):
    if not ours or not theirs or row.section == rows.CORES:
        return "-"
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    if ours <= 0 or theirs <= 0:
        return "-"
    return f"{ours / theirs if row.more_is_better else theirs / ours:.1f} x"


def of_yardsticks(run):
    cells = []
    for yard in yardsticks.ALL:
        if yard.key in run.yardsticks:
            middle = statistics.median(run.yardsticks[yard.key])
            row = run.values.get(yard.row, {OURS: [], THEIRS: []})
            beside = [beside_yardstick(yard, middle, row[kind]) for kind in (OURS, THEIRS)]
            cells.append([yard.text, shown(run.yardsticks[yard.key], yard.unit), *beside, yard.aim])
    if not cells:
        return []
    names = ["", "yardstick", "oxkeeper", "ZooKeeper 3.4.14", "aim"]
    return ["", "## Beside what the machine can do", "", *markdown(names, cells)]


def beside_yardstick(yard, middle, values):
    if not values:
        return "-"
    value = statistics.median(values)
    return f"{value / middle:.2f} of it" if yard.is_share else f"{number(value - middle)} {yard.unit} above"


def of_failures(run, shown_rows):
    lines = []
    for key, kinds in run.failures.items():
        text = shown_rows[key].text if key in shown_rows else key
        lines += [f"- {text} (`{key}`), {kind}: {' '.join(reason.split())[:400]}" for kind, reason in kinds.items()]
    return ["", "## Failed", "", *lines] if lines else []


def markdown(names, cells):
    return [f"| {' | '.join(line)} |" for line in [names, ["---"] * len(names), *cells]]


def shown(values, unit):
    spread = f" ({number(min(values))}-{number(max(values))})" if len(values) > 1 else ""
    return f"{number(statistics.median(values))} {unit}{spread}".replace(" /s", "/s")


def number(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"


def machine():
    cpu = "cpu"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":")[1].strip()
            break
    return f"{os.cpu_count()} cores of {cpu}, Linux {platform.release().split('-')[0]}"


def java():
    try:
        said = subprocess.run(["java", "-version"], stderr=subprocess.PIPE, text=True, check=False).stderr
    except FileNotFoundError:
        return "no java"
    return said.splitlines()[0] if said else "no java"


def revision():
    """The commit of this tree, if it is one."""
    command = ["git", "-C", str(peers.REPOSITORY), "describe", "--always", "--dirty"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return done.stdout.strip() or "of no known revision"
