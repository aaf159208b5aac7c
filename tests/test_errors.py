"""The tree drawn at the head of ``errors.py`` is the tree of classes."""

from __future__ import annotations

import inspect
import re

import pytest

from imgproxy import errors
from imgproxy.errors import ImageError, RenderError, RequestError, SourceError, SourceRefused

CLASSES: dict[str, type[ImageError]] = {
    name: each
    for name, each in vars(errors).items()
    if inspect.isclass(each) and issubclass(each, ImageError) and each.__module__ == errors.__name__
}
LEAF = re.compile(r"(?P<status>\d{3}) (?P<code>\w+)(?:\s{2,}(?P<text>.+))?")


def tree() -> list[tuple[str, str, str]]:
    """Name, name of the parent, and the rest of the line, for each line of the drawing."""
    lines: list[tuple[str, str, str]] = []
    parents: list[str] = []
    for line in (errors.__doc__ or "").split("::\n")[1].split("\n\nThe statuses")[0].strip("\n").splitlines():
        match = re.match(r"^ {4}([\s│├└─]*)(\w+)\s*(.*)$", line)
        assert match, line
        depth = len(match[1]) // 4
        parents[depth:] = [match[2]]
        lines.append((match[2], parents[depth - 1] if depth else "", match[3]))
    return lines


def test_every_class_is_drawn_and_every_drawn_class_exists() -> None:
    assert [name for name, _, _ in tree()] == list(CLASSES)


@pytest.mark.parametrize(("name", "parent", "said"), tree())
def test_a_drawn_class_is_as_drawn(name: str, parent: str, said: str) -> None:
    kind = CLASSES[name]
    assert kind.__bases__ == (CLASSES[parent] if parent else Exception,)
    if kind is SourceRefused:
        assert said == f"4xx of the origin, or 502; {kind.code}"
    elif match := LEAF.fullmatch(said):
        assert (int(match["status"]), match["code"]) == (kind.status, kind.code)
        # A text of its own is drawn beside it; else it is that of the family, drawn once.
        drawn = match["text"] or CLASSES[parent].text
        assert drawn == kind.text or (drawn == "(the hint itself)" and kind.text.startswith("Forbidden: "))
    elif parent:
        assert said.endswith(kind.text)


@pytest.mark.parametrize("kind", CLASSES.values(), ids=lambda each: each.__name__)
def test_an_error_says_what_to_do(kind: type[ImageError]) -> None:
    family = {ImageError, RequestError, SourceError, RenderError}
    assert kind.__doc__
    assert kind in family or kind.remedy
    assert (kind.retry_after is not None) == (kind.status in {429, 503})
    assert kind.kind in {
        "timeout",
        "image_data_size",
        "path_parsing",
        "security",
        "queue",
        "download",
        "processing",
        "IO",
        "streaming",
    }
    assert kind.code in {each.code for each in family} or sum(each.code == kind.code for each in CLASSES.values()) == 1


@pytest.mark.parametrize(
    ("origin", "status"),
    [(400, 400), (403, 403), (404, 404), (410, 410), (499, 499), (500, 502), (503, 502), (206, 404), (304, 404)],
)
def test_a_refusing_origin(origin: int, status: int) -> None:
    error = SourceRefused(origin)
    assert (error.status, error.origin_status) == (status, origin)
    assert str(error) == f"the origin answered {origin}"
