"""From the values of a form to a signed URL, and from any URL back to them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from imgproxy.dialects.imgproxy import Dialect, DialectSettings
from imgproxy.errors import BadOption, ImageError, MissingSignature
from imgproxy.model import ImageRequest
from imgproxy.options import Options, Preset, ResultFormat, spelling_of
from imgproxy.options.base import Setting
from imgproxy.presets import DEFAULT, Presets
from imgproxy.presets.settings import PresetSettings
from imgproxy.signing import Signer, path_of
from imgproxy.web.playground.controls import Values, segments_of, settings_of, told, untouched, values_of

_HOST = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*")
_SENTENCE = re.compile(r"(?<=\.)\s")

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Rules:
    """What URLs are read, signed and explained by at the moment."""

    dialect: DialectSettings
    signer: Signer
    preset: PresetSettings
    presets: Presets
    explain: Callable[[str], list[Json]]
    """The steps of reading a URL, for JSON."""


def signed(rules: Rules, source: str, values: Values) -> Json:
    """A signed URL, its parts, and one for the same part of the source without effects.

    Raises ``ImageError`` for what the server would refuse because of its options.
    """
    settings = settings_of(values)
    resolved = rules.presets.resolve(settings, source)
    explicit = DEFAULT in rules.presets or any(each.option is Preset for each in settings)
    segments = tuple(segments_of(settings) if explicit else Options().merge(settings).segments())
    options = Options().merge((*resolved.default, *resolved.asked))
    format_ = options[ResultFormat].format
    before = Options.of(*untouched(options).asked)
    return {
        "url": sign(rules, source, segments),
        # PNG loses nothing.
        "before": None if rules.dialect.only_presets else sign(rules, source, [*before.segments(), "f:png"]),
        "parts": list(_parts(rules, source, segments)),
        "format": format_.name if format_ else None,
    }


def sign(rules: Rules, source: str, segments: Iterable[str]) -> str:
    """The signed target of a source with option segments, in this server's dialect. Raises ``BadOption``."""
    return rules.dialect.path_prefix + rules.signer.sign(path_of(source, _spelled(rules, segments)))


def _spelled(rules: Rules, segments: Iterable[str]) -> tuple[str, ...]:
    separator = rules.dialect.arguments_separator
    if not rules.dialect.only_presets:
        return tuple(segment.replace(":", separator) for segment in segments)
    names: list[str] = []
    for segment in segments:
        name, _, rest = segment.partition(":")
        if name != "pr":
            raise BadOption(f"URLs name presets and nothing else here (IMGPROXY_ONLY_PRESETS), got {segment!r}")
        names += rest.split(":")
    return (separator.join(names),) if names else ()


def _parts(rules: Rules, source: str, segments: Iterable[str]) -> Iterator[Json]:
    """What stands between the slashes of the URL, each with a word of explanation."""
    segments = tuple(segments)
    url = sign(rules, source, segments)
    prefix = rules.dialect.path_prefix
    signature = url.removeprefix(prefix).split("/")[1]
    if prefix:
        yield {"kind": "prefix", "text": prefix.removeprefix("/"), "help": "IMGPROXY_PATH_PREFIX"}
    said = f"HMAC-SHA256 of all that follows, by key {len(rules.signer.pairs)}"
    yield {"kind": "signature", "text": signature, "help": said if rules.signer.pairs else "No key is configured."}
    for plain, segment in zip(segments, _spelled(rules, segments), strict=False):
        option, spelling = spelling_of(plain.partition(":")[0])
        about = _SENTENCE.split(" ".join((option.__doc__ or "").split()))[0]
        said = f"{told(plain)}. {about}"
        yield {"kind": "option", "text": segment, "name": spelling.names[0], "help": said}
    yield {"kind": "source", "text": path_of(source).removeprefix("/"), "help": f"The original: {source}"}


def parsed(rules: Rules, url: str) -> Json:
    """The source and the values of a URL, whoever signed it. Raises ``ImageError``."""
    request, signature = _read(rules, target_of(url))
    values = values_of(request.settings)
    again = tuple(settings_of(values))
    source = request.source.url
    exact = _meant(rules, again, source) == _meant(rules, request.settings, source)
    return {"source": source, "values": values, "signature": signature, "exact": exact}


def target_of(url: str) -> str:
    """The request target of a URL or a path, a character for each byte."""
    return _path(url).encode().decode("latin-1")


def _path(url: str) -> str:
    host = _HOST.match(url)
    return url[host.end() :] if host else url


def _read(rules: Rules, target: str) -> tuple[ImageRequest, str]:
    """The request, and what is to be said of its signature."""
    dialect = Dialect(rules.dialect)
    signed = dialect.split(target)
    try:
        pair = rules.signer.verify(signed.signature, signed.path)
    except MissingSignature as error:
        return dialect.read(f"/{signed.signature}{signed.path}"), str(error)
    except ImageError as error:
        return dialect.read(signed.path), str(error)
    return dialect.read(signed.path), "" if pair is None else f"good: key {pair + 1}"


def _meant(rules: Rules, settings: Iterable[Setting], source: str) -> Options:
    resolved = rules.presets.resolve(settings, source)
    return Options().merge((*resolved.default, *resolved.asked))


def explained(rules: Rules, url: str) -> Json:
    """The steps of reading a URL, and what to ask this server for instead, if that would be good."""
    steps = rules.explain(url)
    proposed = next((str(step["text"]).rpartition(" ")[2] for step in steps if step["name"] == "corrected"), "")
    corrected = _path(proposed) if proposed and _all_good(rules.explain(proposed)) else None
    return {"good": _all_good(steps), "steps": steps, "corrected": corrected}


def _all_good(steps: Iterable[Json]) -> bool:
    return all(step["good"] for step in steps)
