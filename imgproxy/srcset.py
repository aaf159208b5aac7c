"""The addresses of one picture in several widths and formats: as JSON, ``<img>`` or ``<picture>``.

For the command line and for pages that show how to embed a picture. Pure: who asks says how a path becomes an address,
by a signature or a token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from imgproxy.formats import Format
from imgproxy.geometry import Fit
from imgproxy.options import (
    Dpr,
    Extend,
    ExtendAspectRatio,
    MinSize,
    Options,
    Padding,
    Resize,
    Rotate,
    Zoom,
)
from imgproxy.options.base import Setting
from imgproxy.presets import Presets
from imgproxy.presets.definition import used
from imgproxy.signing import path_of

Address = Callable[[str], str]
"""What a page writes for an unsigned path."""

WHOLE_WIDTH = "100vw"
"""What browsers assume where ``sizes`` is missing; HTML wants it beside widths."""

_MOVING = (Padding, Rotate, Zoom, MinSize, ExtendAspectRatio, Dpr)
"""Options after which a result is not as large as its box."""
_FILLING = (Fit.FILL, Fit.FILL_DOWN, Fit.FORCE)


@dataclass(frozen=True, slots=True)
class Box:
    """The box that options put pictures into."""

    width: int = 0
    height: int = 0
    filled: bool = False
    """Whether results are as large as the box, of all sources that are large enough."""
    follows: bool = False
    """Whether its height goes with a width that is set beside the preset: the preset has widths."""

    @classmethod
    def of(cls, settings: tuple[Setting, ...], presets: Presets, source: str = "") -> Box:
        """The box of what a URL asks for. Raises ``UnknownPreset`` and ``OptionForbidden``."""
        resolved = presets.resolve(settings, source)
        options = Options().merge(resolved.default).merge(resolved.asked)
        resize = options[Resize]
        fills = resize.fit in _FILLING or options[Extend].enabled
        return cls(
            resize.width,
            resize.height,
            filled=fills and not any(options[each] != each() for each in _MOVING),
            follows=any(presets.widths(name) for name in used(settings)),
        )

    def height_for(self, width: int) -> int:
        """The height that keeps the box's shape; 0 where it has none."""
        if not self.width or not self.height:
            return 0
        return max(1, (2 * self.height * width + self.width) // (2 * self.width))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A picture as a page wants it."""

    source: str
    options: tuple[str, ...] = ()
    """Segments as URLs write them, the preset first."""
    width: int = 0
    """Of ``src``, in pixels; 0 for what the options say."""
    widths: tuple[int, ...] = ()
    formats: tuple[Format, ...] = ()
    """Those that ``<picture>`` offers beside what the options say, the best first."""
    sizes: str = ""
    """The ``sizes`` attribute: how wide the picture is shown."""
    alt: str = ""
    separator: str = ":"
    """IMGPROXY_ARGUMENTS_SEPARATOR."""
    base64: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """One address of a srcset, and how wide the picture there is, in pixels."""

    url: str
    width: int

    def as_dict(self) -> dict[str, Any]:
        return {"url": self.url, "width": self.width}


@dataclass(frozen=True, slots=True)
class Offer:
    """A ``<source>``: the same picture in a format that not everybody reads."""

    media_type: str
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class SrcSet:
    """A picture's addresses, and what an element says of it."""

    src: str
    candidates: tuple[Candidate, ...] = ()
    offers: tuple[Offer, ...] = ()
    sizes: str = ""
    alt: str = ""
    size: tuple[int, int] | None = None
    """Width and height of what is behind ``src``, where they are known."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        width, height = self.size or (None, None)
        return {
            "src": self.src,
            "srcset": [each.as_dict() for each in self.candidates],
            "sizes": self.sizes,
            "width": width,
            "height": height,
            "sources": [
                {"type": each.media_type, "srcset": [one.as_dict() for one in each.candidates]} for each in self.offers
            ],
        }

    def text(self) -> str:
        """The value of a ``srcset`` attribute, a line for each address; ``src`` alone where there is no other."""
        return ",\n".join(f"{each.url} {each.width}w" for each in self.candidates) or self.src

    def img(self) -> str:
        """An ``<img>``."""
        return f"<img {' '.join(self._attributes())}>"

    def picture(self) -> str:
        """A ``<picture>`` with a ``<source>`` for each format, and the ``<img>`` for everybody else."""
        return "\n".join(("<picture>", *(f"  {each}" for each in (*self._sources(), self.img())), "</picture>"))

    def _sources(self) -> Iterator[str]:
        for each in self.offers:
            sizes = _attribute("sizes", self.sizes) if self.candidates else ""
            yield f"<source {_attribute('type', each.media_type)} {_srcset(each.candidates)}{sizes and ' ' + sizes}>"

    def _attributes(self) -> Iterator[str]:
        yield _attribute("src", self.src)
        if self.candidates:
            yield _srcset(self.candidates)
            yield _attribute("sizes", self.sizes)
        if self.size:
            # Browsers make room of this shape before they have a byte of the picture.
            yield f'width="{self.size[0]}" height="{self.size[1]}"'
        yield _attribute("alt", self.alt)


def srcset(wanted: Wanted, address: Address, box: Box) -> SrcSet:
    """The addresses of a picture, all of one shape. ``box`` is that of its options."""

    def at(width: int, format_: Format | None = None) -> str:
        said = [("w", width)] if width else []
        if width and not box.follows and (height := box.height_for(width)):
            said.append(("h", height))
        named = [("f", format_.name)] if format_ else []
        options = (*wanted.options, *(f"{name}{wanted.separator}{value}" for name, value in (*said, *named)))
        return address(_path(wanted, options))

    def candidates(format_: Format | None = None) -> tuple[Candidate, ...]:
        return tuple(Candidate(at(width, format_), width) for width in sorted({*wanted.widths}))

    own = wanted.width or (0 if box.width else max(wanted.widths, default=0))
    shown = own or box.width
    return SrcSet(
        src=at(own),
        candidates=candidates(),
        offers=tuple(
            Offer(each.media_type, candidates(each) or (Candidate(at(own, each), 0),))
            for each in dict.fromkeys(wanted.formats)
        ),
        sizes=(wanted.sizes or WHOLE_WIDTH) if wanted.widths else "",
        alt=wanted.alt,
        size=(shown, box.height_for(shown)) if box.filled and box.height_for(shown) else None,
    )


def _path(wanted: Wanted, options: tuple[str, ...]) -> str:
    path = path_of(wanted.source, options, base64=wanted.base64)
    # A comma at an address' end would be taken for the one that ends it (HTML, "parsing a srcset attribute").
    return path_of(wanted.source, options, base64=True) if path.endswith(",") else path


def _srcset(candidates: tuple[Candidate, ...]) -> str:
    said = (f"{each.url} {each.width}w" if each.width else each.url for each in candidates)
    return _attribute("srcset", ", ".join(said))


def _attribute(name: str, value: str) -> str:
    return f'{name}="{escape(value)}"'
