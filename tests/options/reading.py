"""Options from text, for tests."""

from __future__ import annotations

import pytest

from imgproxy.errors import BadOption
from imgproxy.options import Options, read_segment


def read(text: str, earlier: Options | None = None) -> Options:
    """The options that ``rs:fit:300:200/g:no`` says, on top of earlier ones."""
    segments = (segment.split(":") for segment in text.split("/") if segment)
    return (earlier or Options()).merge(each for name, *texts in segments for each in read_segment(name, texts))


def refusal(text: str) -> str:
    """Why ``read`` refuses the text."""
    with pytest.raises(BadOption) as caught:
        read(text)
    return str(caught.value)
