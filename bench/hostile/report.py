"""What an operator wants to know of a volley, as tables of text."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from bench.hostile.volley import p99

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.hostile.volley import Asked, Volley

_SLOWEST = 10


def told(volley: Volley) -> str:
    """Statuses by folder, errors by code, the slowest, what ended, and how ordinary requests fared."""
    return "\n".join(
        (
            *_by_folder(volley.asked),
            "",
            *_by_code(volley.asked),
            "",
            f"slowest {_SLOWEST}:",
            *(_row(each) for each in sorted(volley.asked, key=lambda each: -each.shot.seconds)[:_SLOWEST]),
            "",
            *_ours(volley.asked),
            f"render processes that ended: {dict(volley.restarts) or 'none'}",
            f"peak of a render process: {volley.worker_peak >> 20} MiB; "
            f"the server grew by {volley.growth / 1e6:.1f} MB",
            f"ordinary requests: quiet p99 {1000 * p99(volley.quiet):.0f} ms ({len(volley.quiet)}), "
            f"beside p99 {1000 * p99(volley.beside):.0f} ms ({len(volley.beside)}), ratio {volley.ratio:.2f}, "
            f"{len(volley.failed)} errors",
            *map(_row, volley.failed[:_SLOWEST]),
        )
    )


def _by_folder(asked: list[Asked]) -> Iterator[str]:
    statuses = sorted({each.shot.status for each in asked})
    folders: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for each in asked:
        folders[_folder(each.name)][each.shot.status] += 1
    yield f"{'folder':<24}" + "".join(f"{status:>8}" for status in statuses)
    for folder, counts in sorted(folders.items()):
        yield f"{folder:<24}" + "".join(f"{counts[status] or '':>8}" for status in statuses)
    total = Counter(each.shot.status for each in asked)
    yield f"{'all':<24}" + "".join(f"{total[status]:>8}" for status in statuses)


def _folder(name: str) -> str:
    parts = name.split("/")
    return parts[min(1, len(parts) - 1)] if len(parts) > 1 else "."


def _by_code(asked: list[Asked]) -> Iterator[str]:
    codes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for each in asked:
        if each.code:
            codes[f"{each.shot.status} {each.code}"][_reason(each)[:70]] += 1
    for code, reasons in sorted(codes.items()):
        usual = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))
        yield f"{code:<28}{reasons.total():>6}  {usual}"


def _ours(asked: list[Asked]) -> Iterator[str]:
    """Those that somebody should look at: each answer of 5xx."""
    bad = [each for each in asked if each.shot.status >= 500 or not each.shot.status]
    if bad:
        yield f"5xx, or no answer ({len(bad)}):"
        yield from (_row(each) for each in sorted(bad, key=lambda each: (each.code, each.name))[:100])
        yield ""


def _row(each: Asked) -> str:
    why = f"  {each.code}: {_reason(each)[:110]}" if each.code else ""
    return f"{each.shot.seconds:7.2f} s  {each.shot.status}  {each.plan:<7} {each.name}{why}"


def _reason(each: Asked) -> str:
    return " ".join(str(each.line.get("reason") or "").split())
