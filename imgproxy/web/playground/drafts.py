"""Preset files while they are edited: what is wrong with a text among the other files, and what it would change."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from imgproxy.errors import ImageError
from imgproxy.options import Options, Preset
from imgproxy.options.base import Setting
from imgproxy.presets import DEFAULT, BadPresets, Presets
from imgproxy.web.playground.urls import Json, Rules, sign

_PLACED = re.compile(r"(?P<file>[^:\n]+):(?P<line>\d+):(?P<column>\d+): (?P<text>.*)", re.DOTALL)


def listed(presets: Presets) -> list[Json]:
    """All presets but the default one, for a list to choose from."""
    return [
        {
            "name": name,
            "description": definition.description,
            "owner": definition.owner,
            "file": definition.place.partition(":")[0] if definition.owner else "",
            "widths": presets.widths(name),
            "allow": presets.allowed(name),
            "options": written_out(presets, name),
            "deprecated": definition.deprecated.note or "deprecated" if definition.deprecated else None,
        }
        for name in presets.names
        if name != DEFAULT
        for definition in [presets[name]]
    ]


def written_out(presets: Presets, name: str, source: str = "") -> str:
    """What a preset stands for with a source, the default one included: option segments."""
    own = () if name == DEFAULT else (Setting(Preset, (("names", (name,)),)),)
    return str(Options().merge((*presets.default(source), *presets.expand(own, source))))


def checked(rules: Rules, file: str, text: str, sources: Sequence[str]) -> Json:
    """What is wrong with ``text`` as the content of ``file``; or else its presets as pictures, now and then."""
    try:
        draft = rules.preset.read(rules.dialect.arguments_separator, {file: text})
    except BadPresets as error:
        return {"errors": [_placed(line) for line in str(error).splitlines()], "presets": []}
    names = [name for name in draft.names if draft[name].place.partition(":")[0] == file]
    return {"errors": [], "presets": [_compared(rules, draft, name, sources) for name in names]}


def _placed(mistake: str) -> Json:
    match = _PLACED.fullmatch(mistake)
    if match is None:
        return {"file": "", "line": 0, "column": 0, "text": mistake}
    return {"file": match["file"], "line": int(match["line"]), "column": int(match["column"]), "text": match["text"]}


def _compared(rules: Rules, draft: Presets, name: str, sources: Sequence[str]) -> Json:
    """Running and edited as ordinary URLs, with all options written out: the server knows nothing of the draft."""
    running = name in rules.presets
    views = list(_views(rules, draft, name, sources))
    return {
        "name": name,
        "description": draft[name].description,
        "running": written_out(rules.presets, name) if running else None,
        "edited": written_out(draft, name),
        "widths": draft.widths(name),
        "changed": not running or any(view["running"] != view["edited"] for view in views),
        "views": views,
    }


def _views(rules: Rules, draft: Presets, name: str, sources: Sequence[str]) -> Iterator[Json]:
    for source in sources:
        then = written_out(draft, name, source).split("/")
        now = written_out(rules.presets, name, source).split("/") if name in rules.presets else None
        try:
            yield {
                "source": source,
                "running": sign(rules, source, filter(None, now)) if now is not None else None,
                "edited": sign(rules, source, filter(None, then)),
            }
        except ImageError as error:
            yield {"source": source, "running": None, "edited": None, "error": str(error)}
