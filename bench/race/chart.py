"""The Pareto chart: requests a second across, score upwards, bytes as the area of a circle; one panel for a work."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.race.results import median
from bench.race.works import MISSES, QUALITIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.race.results import Run

WIDTH, HEIGHT = 460, 330
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 16, 56, 44
_LETTER = 6.7
"""The width of one, near enough."""
BARE = ("libvips", "incumbents", "ideal")
"""No servers."""
_COLOURS = {
    "ours": "#d1242f",
    "ours-e4": "#fb8f44",
    "ours-best": "#bf3989",
    "ours-fast": "#e16f24",
    "thumbor": "#1a7f37",
    "ipx": "#0969da",
    "imgproxy": "#8250df",
    "oximg": "#9a6700",
    "incumbents": "#57606a",
    "libvips": "#8c959f",
}
_PANELS = ("p24-jpeg", "p3-jpeg", "p3-jpeg-600", "p3-webp")
_STYLE = """text{font:12px system-ui,sans-serif;fill:#57606a}
.t{font-size:14px;font-weight:600}
.a{stroke:#8c959f;stroke-width:1}.g{stroke:#8c959f;stroke-opacity:.25}
.p{stroke:#8c959f;stroke-dasharray:3 3;fill:none}"""


EMPTY = '<svg xmlns="http://www.w3.org/2000/svg"/>\n'


@dataclass(frozen=True, slots=True)
class Point:
    """A contestant at a work."""

    name: str
    title: str
    rate: float
    score: float
    bytes: float


def svg(run: Run) -> str:
    """The panels of a run, two in a row; those that were not measured are left out."""
    panels = [(title, found) for title, found in _panels(run) if found]
    rows = math.ceil(len(panels) / 2)
    width, height = 2 * WIDTH, rows * HEIGHT + 34
    inside = "".join(
        f'<g transform="translate({n % 2 * WIDTH} {n // 2 * HEIGHT})">{_panel(title, found)}</g>'
        for n, (title, found) in enumerate(panels)
    )
    legend = f'<text x="{_LEFT}" y="{height - 12}">{html.escape(_legend(run))}</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="Requests a second, SSIMULACRA2 score and bytes of this server and its peers">'
        f'<style>{_STYLE}</style><rect width="{width}" height="{height}" fill="#fff"/>{inside}{legend}</svg>\n'
    )


def points(cells: dict[str, Any], titles: dict[str, str]) -> list[Point]:
    """Of all that have answered and were scored."""
    return [
        Point(name, titles.get(name, name), rate, cell["score"], cell["bytes"])
        for name, cell in cells.items()
        if cell["score"] is not None and (rate := median(cell["rates"]))
    ]


def frontier(found: Sequence[Point]) -> list[Point]:
    """Those that nobody beats in both, rate and score, the slowest first. Bare libvips is no server, and not asked."""
    servers = [each for each in found if each.name not in BARE]
    best: list[Point] = []
    for each in sorted(servers, key=lambda point: (-point.rate, -point.score)):
        if not best or each.score > best[-1].score:
            best.append(each)
    return best[::-1]


def _panels(run: Run) -> Iterator[tuple[str, list[Point]]]:
    titles = {name: told["title"] for name, told in run["contestants"].items()}
    works = {work.name: work.title for work in MISSES}
    for name in _PANELS:
        yield works[name], points(run.get("misses", {}).get(name, {}), titles)
    for size, label in (("full", "12-16 MP"), ("2000", "2000 px")):
        yield f"three photographs of {label} → 500 JPEG", points(_averaged(run, size), titles)


def _averaged(run: Run, size: str) -> dict[str, Any]:
    """The photographs of a size as one cell for each contestant: mean rate, score and bytes."""
    tables = [run.get("quality", {}).get(work.name) for work in QUALITIES if work.name.endswith(f"-{size}")]
    if not tables or not all(tables):
        return {}
    whole = [name for name in tables[0] if all(name in each and each[name]["score"] is not None for each in tables)]
    return {
        name: {
            "rates": [sum(median(each[name]["rates"]) or 0 for each in tables) / len(tables)],
            "score": sum(each[name]["score"] for each in tables) / len(tables),
            "bytes": sum(each[name]["bytes"] for each in tables) / len(tables),
        }
        for name in whole
    }


def _legend(run: Run) -> str:
    return (
        "Up and to the right is better; the area of a circle is the answer's bytes. "
        f"{run['cores']} cores, {run['pictures']}, {run['when'][:10]}."
    )


def _panel(title: str, found: Sequence[Point]) -> str:
    high = _nice(1.15 * max(each.rate for each in found))
    lowest, highest = min(each.score for each in found), max(each.score for each in found)
    step = 5 if highest - lowest < 40 else 20
    low_score, high_score = step * math.floor(lowest / step - 0.2), step * math.ceil(highest / step + 0.2)
    heaviest = max(each.bytes for each in found)

    def x(rate: float) -> float:
        return round(_LEFT + rate / high * (WIDTH - _LEFT - _RIGHT), 1)

    def y(score: float) -> float:
        part = (score - low_score) / (high_score - low_score)
        return round(HEIGHT - _BOTTOM - part * (HEIGHT - _TOP - _BOTTOM), 1)

    parts = [f'<text class="t" x="{_LEFT}" y="24">{html.escape(title)}</text>']
    for n in range(5):
        rate = high * n / 4
        parts.append(f'<text x="{x(rate)}" y="{HEIGHT - _BOTTOM + 16}" text-anchor="middle">{rate:g}</text>')
    for score in range(low_score, high_score + 1, step):
        parts.append(f'<line class="g" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(score)}" y2="{y(score)}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(score) + 4}" text-anchor="end">{score}</text>')
    parts.append(f'<line class="a" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(low_score)}" y2="{y(low_score)}"/>')
    parts.append(f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 12}" text-anchor="end">requests/s</text>')
    parts.append(f'<text x="6" y="{_TOP - 14}">SSIMULACRA2</text>')
    line = " ".join(f"{x(each.rate)},{y(each.score)}" for each in frontier(found))
    parts.append(f'<polyline class="p" points="{line}"/>')
    parts += _marks([(x(each.rate), y(each.score), each) for each in found], heaviest)
    return "".join(parts)


def _marks(placed: Sequence[tuple[float, float, Point]], heaviest: float) -> Iterator[str]:
    """Circles and their names, as far as it goes none over another."""
    radii = [9 * math.sqrt(point.bytes / heaviest) for _, _, point in placed]
    taken = [
        (across - radius, down - radius, across + radius, down + radius)
        for (across, down, _), radius in zip(placed, radii, strict=True)
    ]
    for (across, down, point), radius in zip(placed, radii, strict=True):
        label = f"{point.title} {point.bytes / 1000:.0f} KB"
        left, base = _place(across, down, radius, _LETTER * len(label), taken)
        taken.append(_box(left, base, _LETTER * len(label)))
        colour = _COLOURS.get(point.name, "#57606a")
        hollow = point.name in BARE
        fill = f'fill="none" stroke="{colour}" stroke-width="2"' if hollow else f'fill="{colour}" fill-opacity=".8"'
        title = f"<title>{html.escape(label)}</title>"
        yield f'<circle cx="{across}" cy="{down}" r="{radius:.1f}" {fill}>{title}</circle>'
        yield f'<text x="{left:.1f}" y="{base:.1f}" style="fill:{colour}">{html.escape(label)}</text>'


def _place(
    across: float, down: float, radius: float, width: float, taken: Sequence[tuple[float, float, float, float]]
) -> tuple[float, float]:
    """Where a name begins, and its base line: beside its circle, or a line or more above or below that."""
    for lines in (0, 1, -1, 2, -2, 3, -3):
        for left in (across + radius + 4, across - radius - 4 - width):
            base = down + 4 + 13 * lines
            box = _box(left, base, width)
            inside = box[0] >= _LEFT and box[2] <= WIDTH and box[1] >= _TOP and box[3] <= HEIGHT - _BOTTOM
            if inside and not any(_overlap(box, other) for other in taken):
                return left, base
    return across + radius + 4, down + 4


def _box(left: float, base: float, width: float) -> tuple[float, float, float, float]:
    return left, base - 10, left + width, base + 2


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _nice(value: float) -> float:
    """The next number that is easily halved twice."""
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if step * power >= value)
