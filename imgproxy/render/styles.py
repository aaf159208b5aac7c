"""What an SVG's style sheets and attributes declare: the properties that decide what drawing costs.

No cascade: where several declarations of a property could hold for an element, all of them are said to.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FONT = frozenset({"font", "font-size", "font-family", "font-weight", "font-style", "font-stretch", "font-variant"})
_KNOWN = FONT | {
    *("fill", "stroke", "filter", "mask", "clip-path", "opacity", "mix-blend-mode", "stroke-dasharray"),
    *("marker", "marker-start", "marker-mid", "marker-end", "transform"),
}
_COMMENT = re.compile(r"/\*.*?(?:\*/|$)", re.DOTALL)
_ESCAPE = re.compile(r"\\([0-9a-fA-F]{1,6})\s?|\\(.)", re.DOTALL)
# Of another address, or a file beside it: librsvg fetches neither.
_IMPORT = re.compile(r"@import(?!\s*+(?:url\(\s*+)?+[\"']?+(?:(?:https?:)?//|[\w./-]+[\"')]))", re.IGNORECASE)
_BRACKETS = re.compile(r"\[[^\]]*\]?|:[\w-]*(?:\([^)]*\)?)?")
_COMBINATOR = re.compile(r"[\s>+~]")
_SIMPLE = re.compile(r"[.#]?[\w\u0080-\uffff-]+")
_WALKING = re.compile(r"~(?!=)")
"""What is looked for among all elements before one."""
_STEPS, _DECLARATIONS = 8, 2
"""So many neighbours, and declarations, take as long as a comparison with a selector, 0.1 us."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What blocks of declarations say."""

    properties: tuple[tuple[str, str], ...] = ()
    """Each once."""
    count: int = 0
    """Of all declarations."""


@dataclass
class Sheet:
    """All style sheets of a document."""

    elements: int = 0
    """Of the document."""
    brings: bool = False
    """Whether it imports what may be in the document itself, as data, and cannot be looked into here."""
    _rules: int = 0
    _walking: int = 0
    """Selectors: each is compared with each element. And those of them that walk along its neighbours."""
    _by_key: defaultdict[str, list[Rule]] = field(default_factory=lambda: defaultdict(list))
    _known: dict[tuple[str, str, str], Rule] = field(default_factory=dict)

    def read(self, css: str) -> None:
        """Take note of a style sheet."""
        css = _plain(css)
        self.brings |= _IMPORT.search(css) is not None
        self._rules += css.count("{") + css.count(",")
        for part in css.split("}"):
            before, _, block = part.rpartition("{")
            selectors = before.rpartition("{")[2]
            rule = Rule(tuple(dict.fromkeys(_declared(block))), block.count(":"))
            self._walking += len(_WALKING.findall(selectors))
            for selector in selectors.split(","):
                self._by_key[_key(selector)].append(rule)

    @property
    def compared(self) -> int:
        """How often a selector is compared with an element, which may all be in a row; and what is said of all."""
        everywhere = sum(rule.count for rule in self._by_key.get("*", ())) // _DECLARATIONS
        return self.elements * (self._rules + everywhere + self._walking * self.elements // _STEPS)

    def matching(self, tag: str, attributes: Mapping[str, str]) -> Rule:
        """All rules that may hold for an element, judged by the last part of their selectors."""
        if not self._by_key:
            return _NO_RULE
        own = f"#{attributes.get('id', '')}"
        names = tag, own if own in self._by_key else "", attributes.get("class", "")
        if names not in self._known:
            keys = ("*", tag, own, *{f".{name}" for name in names[2].split()})
            rules = [rule for key in keys for rule in self._by_key.get(key, ())]
            properties = dict.fromkeys(each for rule in rules for each in rule.properties)
            self._known[names] = Rule(tuple(properties), sum(rule.count for rule in rules))
        return self._known[names]


_NO_RULE = Rule()


def declared(tag: str, attributes: Mapping[str, str]) -> list[tuple[str, str]]:
    """Properties and values that an element says of itself, in attributes and style: the last one holds."""
    found = [(name, attributes[name]) for name in _KNOWN & attributes.keys()]
    if tag.endswith("Gradient") or tag == "pattern":
        found += [("transform", attributes[name]) for name in attributes if name.endswith("Transform")]
    if style := attributes.get("style"):
        found += _declared(_plain(style))
    return found


def _plain(css: str) -> str:
    """A text of CSS without comments and escapes: a property has many spellings."""
    if "/*" in css:
        css = _COMMENT.sub(" ", css)
    return _ESCAPE.sub(_unescaped, css) if "\\" in css else css


def _unescaped(match: re.Match[str]) -> str:
    if not match[1]:
        return match[2]
    code = int(match[1], 16)
    return chr(code) if 0 < code < 0x110000 else " "


def _declared(block: str) -> Iterator[tuple[str, str]]:
    for declaration in block.split(";"):
        name, colon, value = declaration.partition(":")
        name = name.strip().lower()
        if colon and name in _KNOWN:
            yield name, value


def _key(selector: str) -> str:
    """A name that each element has that a selector means: of its last part, an id, a class, a tag, or ``*``."""
    last = _COMBINATOR.split(_BRACKETS.sub("", selector).strip())[-1]
    names: list[str] = _SIMPLE.findall(last)
    return max(names, key=lambda name: ("#" in name, "." in name), default="*")
