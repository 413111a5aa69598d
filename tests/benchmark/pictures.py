"""Pictures of results as SVG, without a library and readable in the dark."""

from servers import OURS, THEIRS

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 360, 76, 44, 40
COLOURS = {OURS: "#d9622b", THEIRS: "#5b7fa6"}
NAMES = {OURS: "oxkeeper", THEIRS: "ZooKeeper 3.4.14"}


def throughput(curve, title):
    """Requests a second against the share of reads."""
    most = max(value for points in curve.values() for _, value in points)
    top = nice(most)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13">',
        f"<title>Requests per second against the share of reads, {title}</title>",
        "<style>text{fill:#333}.grid{stroke:#ccc}"
        "@media(prefers-color-scheme:dark){text{fill:#ddd}.grid{stroke:#555}}</style>",
        f'<text x="{LEFT}" y="20" font-weight="600">Requests per second against the share of reads, {title}</text>',
    ]
    for step in range(5):
        value = top * step / 4
        y = place_y(value, top)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - 16}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value / 1000:,.0f} k</text>')
    for share in (0, 20, 40, 60, 80, 100):
        parts.append(
            f'<text x="{place_x(share):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{share}%</text>'
        )
    for kind, points in curve.items():
        line = " ".join(f"{place_x(share):.1f},{place_y(value, top):.1f}" for share, value in points)
        parts.append(f'<polyline fill="none" stroke="{COLOURS[kind]}" stroke-width="2.5" points="{line}"/>')
        for share, value in points:
            parts.append(
                f'<circle cx="{place_x(share):.1f}" cy="{place_y(value, top):.1f}" r="3.5" fill="{COLOURS[kind]}">'
                f"<title>{NAMES[kind]}, {share}% reads: {value:,.0f}/s</title></circle>"
            )
        share, value = points[-2]
        parts.append(
            f'<text x="{place_x(share):.1f}" y="{place_y(value, top) - 10:.1f}" text-anchor="end" '
            f'style="fill:{COLOURS[kind]}" font-weight="600">{NAMES[kind]}</text>'
        )
    return "\n".join(parts + ["</svg>"]) + "\n"


def place_x(share):
    return LEFT + (WIDTH - 16 - LEFT) * share / 100


def place_y(value, top):
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / top


def nice(most):
    """The next round number."""
    unit = 10 ** (len(str(int(most))) - 1)
    return next(unit * step for step in (1, 2, 3, 4, 5, 6, 8, 10) if unit * step >= most)
