"""Pictures of results as SVG, without a library and readable in the dark."""

import math

from servers import OURS, THEIRS

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 680, 360, 76, 40, 44, 56
COLOURS = {OURS: "#d9622b", THEIRS: "#5b7fa6"}
NAMES = {OURS: "oxkeeper", THEIRS: "ZooKeeper 3.4.14"}
MIXES = (("100", "reads", ""), ("90", "90% reads", "7 4"), ("0", "writes", "2 4"))
PERCENTILES = (("p50_us", "50%"), ("p90_us", "90%"), ("p99_us", "99%"), ("p999_us", "99.9%"), ("max_us", "all"))


def all_of(run):
    """Names of files and their text."""
    for servers, curve in run.shares.items():
        yield f"throughput-{servers}.svg", throughput(curve, at(servers))
    for servers in ("1", "3"):
        kinds = {share: run.percentiles.get(f"{share}-{servers}", {}) for share, _, _ in MIXES}
        if any(kinds.values()):
            yield f"percentiles-{servers}.svg", percentiles(kinds, at(servers))
    if run.timelines:
        yield "failures.svg", failures(run.timelines)


def throughput(curve, title):
    """Requests a second against the share of reads."""
    chart = Chart(f"Requests per second against the share of reads, {title}")
    top = nice(max(value for points in curve.values() for _, value in points))
    chart.rates(top)
    for share in (0, 20, 40, 60, 80, 100):
        chart.under(share / 100, f"{share}%")
    for kind, points in curve.items():
        places = [(share / 100, value / top) for share, value in points]
        chart.line(kind, places)
        for (x, y), (share, value) in zip(places, points):
            chart.dot(kind, x, y, f"{NAMES[kind]}, {share}% reads: {value:,.0f}/s")
    return chart.end(curve)


def percentiles(kinds, title):
    """Latency, on a logarithmic scale, of the given share of requests."""
    chart = Chart(f"Latency under load: so many requests took at most, {title}")
    values = [part[name] for parts in kinds.values() for part in parts.values() for name, _ in PERCENTILES]
    low = math.floor(math.log10(max(min(values), 1)))
    high = math.ceil(math.log10(max(values)))
    span = max(high - low, 1)
    for power in range(low, high + 1):
        chart.beside((power - low) / span, time_of(10**power))
    for step, (_, label) in enumerate(PERCENTILES):
        chart.under(step / (len(PERCENTILES) - 1), label)
    for share, mix, dashes in MIXES:
        for kind, part in kinds[share].items():
            places = []
            for step, (name, label) in enumerate(PERCENTILES):
                y = (math.log10(max(part[name], 10**low)) - low) / span
                places.append((step / (len(PERCENTILES) - 1), y))
                chart.dot(kind, *places[-1], f"{NAMES[kind]}, {mix}, {label}: {part[name]:,.0f} us")
            chart.line(kind, places, dashes)
    return chart.end(NAMES, [(mix, dashes) for _, mix, dashes in MIXES])


def failures(timelines):
    """Requests a second, ten times a second, with what happened meanwhile; one strip for each kind."""
    chart = Chart("Requests per second while servers are killed and return; 3 servers", strips=len(timelines))
    for kind in (kind for kind in (OURS, THEIRS) if kind in timelines):
        rates, events = timelines[kind]["rates"], timelines[kind]["events"]
        top, seconds = nice(max(rates + [1])), len(rates) / 10
        chart.rates(top, steps=2)
        chart.line(kind, [(index / len(rates), rate / top) for index, rate in enumerate(rates)], width=1.5)
        for moment_s, what in events:
            chart.mark(moment_s / seconds, what)
        step_s = 5 if seconds > 12 else 2
        for second in range(0, int(seconds) + 1, step_s):
            chart.under(second / seconds, f"{second} s")
        chart.next_strip()
    return chart.end(timelines)


class Chart:
    """A plane from (0, 0) at the left and bottom to (1, 1), or several below each other, and what is on it."""

    def __init__(self, title, strips=1):
        self.height = TOP + strips * (HEIGHT - TOP - BOTTOM if strips == 1 else STRIP) + strips * BOTTOM
        self.strip_top = TOP
        self.strip_height = HEIGHT - TOP - BOTTOM if strips == 1 else STRIP
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" role="img" '
            f'font-family="system-ui, sans-serif" font-size="13">',
            f"<title>{title}</title>",
            "<style>text{fill:#333}.grid{stroke:#ccc}.mark{stroke:#888}.dashes{stroke:#333}"
            "@media(prefers-color-scheme:dark){text{fill:#ddd}.grid{stroke:#555}.dashes{stroke:#ddd}}</style>",
            f'<text x="{LEFT}" y="20" font-weight="600">{title}</text>',
        ]

    def x(self, share):
        return LEFT + (WIDTH - RIGHT - LEFT) * share

    def y(self, share):
        return self.strip_top + self.strip_height * (1 - share)

    def beside(self, share, label):
        y = self.y(share)
        self.parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        self.parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')

    def rates(self, top, steps=4):
        for step in range(steps + 1):
            self.beside(step / steps, f"{top * step / steps / 1000:,g} k")

    def under(self, share, label):
        y = self.strip_top + self.strip_height + 20
        self.parts.append(f'<text x="{self.x(share):.1f}" y="{y}" text-anchor="middle">{label}</text>')

    def line(self, kind, places, dashes="", width=2.5):
        points = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in places)
        dashes = f' stroke-dasharray="{dashes}"' if dashes else ""
        self.parts.append(
            f'<polyline fill="none" stroke="{COLOURS[kind]}" stroke-width="{width}"{dashes} points="{points}"/>'
        )

    def dot(self, kind, x, y, title):
        self.parts.append(
            f'<circle cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="3.5" fill="{COLOURS[kind]}"><title>{title}</title></circle>'
        )

    def mark(self, share, label):
        x = self.x(share)
        top, bottom = self.strip_top, self.strip_top + self.strip_height
        self.parts.append(
            f'<line class="mark" x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke-dasharray="3 3"/>'
        )
        # Near the right edge the words stand before their line.
        anchor, aside = ("end", -4) if share > 0.8 else ("start", 4)
        self.parts.append(f'<text x="{x + aside:.1f}" y="{top - 6}" font-size="11" text-anchor="{anchor}">{label}</text>')

    def next_strip(self):
        self.strip_top += self.strip_height + BOTTOM

    def end(self, kinds, mixes=()):
        """The legend, below the title."""
        x = LEFT
        for kind in (kind for kind in (OURS, THEIRS) if kind in kinds):
            self.parts.append(f'<rect x="{x}" y="29" width="14" height="4" fill="{COLOURS[kind]}"/>')
            self.parts.append(f'<text x="{x + 20}" y="36">{NAMES[kind]}</text>')
            x += 36 + 7.5 * len(NAMES[kind])
        for mix, dashes in mixes:
            dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
            self.parts.append(
                f'<line class="dashes" x1="{x}" y1="31" x2="{x + 28}" y2="31" stroke-width="2"{dashed}/>'
            )
            self.parts.append(f'<text x="{x + 34}" y="36">{mix}</text>')
            x += 48 + 7.5 * len(mix)
        return "\n".join(self.parts + ["</svg>"]) + "\n"


def at(servers):
    return "1 server" if servers == "1" else f"{servers} servers"


def time_of(us):
    return f"{us:,} us" if us < 1_000 else f"{us // 1_000:,} ms" if us < 1_000_000 else f"{us // 1_000_000:,} s"


def nice(most):
    """The next round number."""
    unit = 10 ** (len(str(int(most))) - 1)
    return next(unit * step for step in (1, 2, 3, 4, 5, 6, 8, 10) if unit * step >= most)


STRIP = 150
