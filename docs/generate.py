"""Writes what is derived: options, settings, errors, metrics, performance from what was measured, and a schema.

``python docs/generate.py`` writes them; with ``--check`` it writes nothing, names the pages that are out of date and
ends with 1 if there is one. The pages depend on nothing but the code and docs/performance.json and .toml.
"""

from __future__ import annotations

import inspect
import re
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from os.path import normpath
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.race import chart, results  # noqa: E402 - found by the line above
from bench.race.page import page  # noqa: E402
from imgproxy import errors  # noqa: E402
from imgproxy.configuration.effective import written  # noqa: E402
from imgproxy.metrics import ERROR_TYPES, SPANS, CacheState, Metrics, NodeState  # noqa: E402
from imgproxy.options import OPTIONS  # noqa: E402
from imgproxy.options.base import Argument, Option, Spelling  # noqa: E402
from imgproxy.presets.schema import schema_text  # noqa: E402
from imgproxy.settings import ROOMS, extras, names, variable  # noqa: E402
from tests.golden import GOLDENS, path_of  # noqa: E402

DOCS = ROOT / "docs"
WIDEST_PICTURE = 280
MADE = "<!-- Written by docs/generate.py (`make docs`) from the code. Change it there. -->\n\n"

EFFECTS = {
    "pixels": "",
    "encoding": "Changes the file, not the picture.",
    "request": "Changes how the request is handled; there is no picture to show.",
    "delivery": "Changes the answer's headers only.",
}


def main() -> int:
    check = "--check" in sys.argv[1:]
    stale = [name for name, page in PAGES.items() if not is_current(name, page())]
    for name in stale:
        if check:
            print(f"{normpath(f'docs/{name}')} is out of date: run `make docs`", file=sys.stderr)
        else:
            (DOCS / name).write_text(PAGES[name](), encoding="utf-8")
            print(normpath(f"docs/{name}"))
    return 1 if check and stale else 0


def is_current(name: str, text: str) -> bool:
    path = DOCS / name
    return path.exists() and path.read_text(encoding="utf-8") == text


# Options


def options_page() -> str:
    return (
        f"{MADE}# Options\n\n"
        "A URL is `/<signature>/<option>/<option>/…/<source>`. An option is a name and its arguments, separated by\n"
        "colons: `resize:fill:300:200`, or shorter `rs:fill:300:200`. The order of options in a URL does not matter,\n"
        "but where two set the same argument, the later one wins. An argument may be left empty: `rs:fill::200`.\n\n"
        "Here the options stand in the order in which they are applied. The pictures are the goldens that the tests\n"
        "compare with, drawn by [tests/charts.py](../tests/charts.py); where nothing else can be seen, the source is\n"
        "the chart of four quadrants, 600 by 400, with a bright line every 100 pixels.\n\n"
        + "".join(f"- [{title(option)}](#{title(option).replace(' ', '-')}): {summary(option)}\n" for option in OPTIONS)
        + "".join(f"\n{section}" for section in map(option_section, OPTIONS))
    )


def title(option: type[Option]) -> str:
    """The option's name in words: those of the class, which stand for all of its spellings."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", option.__name__).lower()


def summary(option: type[Option]) -> str:
    return str(inspect.getmodule(option).__doc__).strip().splitlines()[0]  # type: ignore[union-attr]


def option_section(option: type[Option]) -> str:
    parts = [
        f"## {title(option)}\n",
        f"{inspect.getdoc(option)}\n",
        *([f"{EFFECTS[option.effect]}\n"] if EFFECTS[option.effect] else []),
        "\n".join(f"- {spelling_text(option, spelling)}" for spelling in option.spellings) + "\n",
        table(("Argument", "Value", "Default", "Meaning"), map(argument_row, option.arguments().values())),
        examples(option),
    ]
    return "\n".join(parts)


def spelling_text(option: type[Option], spelling: Spelling) -> str:
    arguments = option.arguments()
    fields = [f"{name}…" if isinstance(arguments[name].default, tuple) else name for name in spelling.fields]
    long, *short = spelling.names
    text = f"`{':'.join((long, *fields))}`"
    if short:
        text += f", short {' or '.join(f'`{name}`' for name in short)}"
    if spelling.rest:
        text += f"; further arguments are those of `{spelling.rest}`"
    return text


def argument_row(argument: Argument) -> tuple[str, ...]:
    default = argument.default
    none = default is None or default in ((), "")
    text = "none" if none else f"`{argument.kind.write(default)}`"
    return argument.name.replace("_", " "), argument.kind.expects, text, argument.meaning


def examples(option: type[Option]) -> str:
    if option.effect != "pixels":
        return "Examples: " + ", ".join(f"`{segment}`" for segment in option.examples) + "\n"
    rows = ((f"`{segment}`", picture(option, segment)) for segment in option.examples)
    return table(("Example", "Result"), rows)


def picture(option: type[Option], segment: str) -> str:
    path = path_of(option.spellings[0].names[0], segment)
    width, height = png_size(GOLDENS / path)
    shown = min(width, WIDEST_PICTURE)
    return f'<img src="../tests/goldens/{quote(str(path), safe="/=+")}" width="{shown}" alt="{width} by {height}">'


def png_size(path: Path) -> tuple[int, int]:
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    return width, height


# Settings


def settings_page() -> str:
    return (
        f"{MADE}# Settings\n\n"
        "All settings are environment variables, and all are optional. An empty variable counts as not set. All\n"
        "mistakes are reported together at the start; of unknown variables that begin with `IMGPROXY_` it warns.\n\n"
        "Booleans are `1`, `t`, `true`, `0`, `f` or `false`; lists are separated by commas.\n"
        "`IMGPROXY_ENV_LOCAL_FILE_PATH` names a file of `NAME=value` lines, over which the environment wins. `PORT`\n"
        "stands in for `IMGPROXY_BIND`, as platforms set it.\n\n"
        "## Where we differ from imgproxy\n\n"
        "Names, meanings and defaults are imgproxy's, except these:\n\n"
        + table(("Variable", "Here", "imgproxy", "Why"), differences())
        + "".join(
            f"\n## {name.capitalize()}\n\n{inspect.getdoc(room)}\n\n"
            + table(("Variable", "Default", "Meaning"), setting_rows(room))
            for name, room in ROOMS.items()
        )
    )


def differences() -> Iterator[tuple[str, ...]]:
    for room in ROOMS.values():
        for name, field in room.model_fields.items():
            extra = extras(field)
            if "why" in extra:
                theirs = plain(extra["imgproxy"]) if "imgproxy" in extra else "as here"
                yield f"`{variable(name)}`", setting_default(field), theirs, sentence(extra["why"])


def setting_rows(room: type[Any]) -> Iterator[tuple[str, ...]]:
    for name, field in room.model_fields.items():
        own, *others = (f"`{each}`" for each in names(name, field))
        also = f" Also {', '.join(others)}." if others else ""
        yield own, setting_default(field), f"{field.description}{also}"


def setting_default(field: Any) -> str:  # noqa: ANN401 - pydantic's FieldInfo
    """The default as it would be written in the variable; a secret has none, and shows none."""
    value = field.default
    if not field.repr or not written(value):
        return "none"
    if field.description and isinstance(value, str) and value.startswith("imgproxy/"):
        return "`imgproxy/<version>`"
    return f"`{written(value)}`"


def plain(text: str) -> str:
    return f"`{text.lower() if text in {'True', 'False'} else text}`"


def sentence(text: str) -> str:
    text = text if text.startswith("imgproxy") else text[0].upper() + text[1:]
    return text if text.endswith(".") else f"{text}."


# Errors


def errors_page() -> str:
    return (
        f"{MADE}# Errors\n\n"
        "Every request that ends without an image ends with one of these. Statuses and public texts are imgproxy's.\n"
        "The reason itself goes to the log, and into the answer only with `IMGPROXY_DEVELOPMENT_ERRORS_MODE`. A\n"
        "client that accepts `application/problem+json` gets the code and the request id in that form (RFC 9457).\n"
        + "".join(
            f"\n## {family.__name__}\n\n{inspect.getdoc(family)}\n\n"
            + table(("Code", "Status", "Public text", "Meaning", "Remedy"), error_rows(family))
            for family in errors.ImageError.__subclasses__()
        )
    )


def error_rows(family: type[errors.ImageError]) -> Iterator[tuple[str, ...]]:
    for error in family.__subclasses__():
        # An error that sets its own status says in its docstring which.
        status = "varies" if "__init__" in vars(error) else str(error.status)
        if error.retry_after is not None:
            status += f", `Retry-After: {error.retry_after}`"
        yield f"`{error.code}`", status, error.text, str(inspect.getdoc(error)), error.remedy


# Metrics


def metrics_page() -> str:
    return (
        f"{MADE}# Metrics\n\n"
        "Set `IMGPROXY_PROMETHEUS_BIND` (for example to `:8081`) to serve them in Prometheus' text form, on every\n"
        "path of that address. `IMGPROXY_PROMETHEUS_NAMESPACE` puts a prefix before the names. Names are imgproxy's\n"
        "where it has the metric. The `process_` and `python_` metrics are those that every Python program exports.\n\n"
        + table(("Name", "Type", "Labels", "Meaning"), metric_rows())
        + "\nLabels come from closed sets:\n\n"
        f"- `type`: {words(ERROR_TYPES)}\n"
        f"- `span`: {words(SPANS)}\n"
        "- `status`: an HTTP status\n"
        "- `format`: a result format, or `raw`\n"
        "- `reason` of restarts: `crashed`, `killed` (at a deadline), `memory` or `recycled`\n"
    )


def metric_rows() -> Iterator[tuple[str, ...]]:
    metrics = Metrics()
    memory = dict.fromkeys(("resident_bytes", "vips_bytes", "vips_peak_bytes", "vips_allocations"), 0)
    workers: Any = SimpleNamespace(size=1, busy=0, waiting=0, restarts={"killed": 0}, memory=SimpleNamespace(**memory))
    metrics.watch(workers, workers)
    one = {"": 1}
    metrics.watch_caches(lambda: CacheState({("", ""): 1}, one, one, one, one, 0, one, 0, 0, 0))
    metrics.watch_node(lambda: NodeState(one, one, 0, 0, 0, 0, {("", ""): 1}, 0, one, 0, 0, 0, 0, 0, True, 0, one))
    # A series shows its labels once something was counted.
    metrics.answered(200, 0.0, dict.fromkeys(SPANS, 0.0))
    metrics.moved(1, 1, "jpeg")
    for family in metrics.registry.collect():
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if name == "python_info":  # its labels name the machine's interpreter
            labels = []
        yield f"`{name}`", family.type, words(labels), sentence(family.documentation)


def words(texts: Iterable[str]) -> str:
    return ", ".join(f"`{text}`" for text in texts)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell(text) for text in line)} |\n" for line in lines)


def cell(text: str) -> str:
    """Text as a table's cell: what Markdown would take for its own is escaped, but not in code."""
    pieces = " ".join(text.split()).replace("``", "`").replace("|", r"\|").split("`")
    pieces[::2] = [piece if "<img" in piece else re.sub(r"([<*])", r"\\\1", piece) for piece in pieces[::2]]
    return "`".join(pieces)


# Performance


MEASURED = DOCS / "performance.json"


def performance_page() -> str:
    return MADE + page(MEASURED, DOCS / "performance.toml")


def performance_chart() -> str:
    runs = results.read(MEASURED)
    return chart.svg(runs[-1]) if runs else chart.EMPTY


PAGES: dict[str, Callable[[], str]] = {
    "options.md": options_page,
    "settings.md": settings_page,
    "errors.md": errors_page,
    "metrics.md": metrics_page,
    "performance.md": performance_page,
    "performance.svg": performance_chart,
    "../imgproxy/presets/schema.json": schema_text,
}

if __name__ == "__main__":
    sys.exit(main())
