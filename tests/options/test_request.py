"""What concerns the request rather than the pixels."""

from __future__ import annotations

import pytest

from imgproxy.errors import BadOption
from imgproxy.options import (
    Cachebuster,
    Expires,
    Filename,
    Option,
    Options,
    Preset,
    Raw,
    ReturnAttachment,
    SecurityLimits,
    SkipProcessing,
    read_segment,
)
from tests.options.reading import read, refusal


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("pr:a:b", [Preset(("a", "b"))]),
        ("preset:gr%C3%B6%C3%9Fe", [Preset(("größe",))]),
        ("pr::a:", [Preset(("a",))]),
        ("skp:gif:svg", [SkipProcessing(("gif", "svg"))]),
        ("skip_processing:jpg/skp:gif:jpeg", [SkipProcessing(("gif", "jpeg"))]),  # adds up
        ("skp:", []),
        ("skp:gif/skp:", [SkipProcessing(("gif",))]),
        ("raw:1", [Raw(True)]),
        ("raw:true/raw:0", []),
        ("cb:v2", [Cachebuster("v2")]),
        ("cachebuster:a%2Fb", [Cachebuster("a/b")]),
        ("cb:v2/cb:", []),  # empty resets
        ("exp:4102444800", [Expires(4102444800)]),
        ("expires:0", []),
        ("fn:holiday", [Filename("holiday")]),
        ("filename:my%20cat", [Filename("my cat")]),
        ("fn:caf%C3%A9", [Filename("café")]),
        ("fn:bad%FFbyte", [Filename("bad%FFbyte")]),
        ("fn:aG9saWRheQ:1", [Filename("holiday")]),
        ("fn:aG9saWRheQ==:true", [Filename("holiday")]),  # padding tolerated
        ("fn:aG9saWRheQ:0", [Filename("aG9saWRheQ")]),
        ("fn:a/fn:", []),
        ("att:1", [ReturnAttachment(True)]),
        ("return_attachment:t", [ReturnAttachment(True)]),
        ("msr:10.5", [SecurityLimits(source_resolution=10.5)]),
        ("max_src_resolution:1", [SecurityLimits(source_resolution=1)]),
        ("msfs:1000", [SecurityLimits(source_bytes=1000)]),
        ("max_src_file_size:0", [SecurityLimits(source_bytes=0)]),
        ("maf:5", [SecurityLimits(frames=5)]),
        ("max_animation_frames:1", [SecurityLimits(frames=1)]),
        ("mafr:0.5", [SecurityLimits(frame_resolution=0.5)]),
        ("max_animation_frame_resolution:2", [SecurityLimits(frame_resolution=2)]),
        ("mrd:200", [SecurityLimits(result_side=200)]),
        ("max_result_dimension:0/msr:1", [SecurityLimits(source_resolution=1, result_side=0)]),
    ],
)
def test_read(text: str, options: list[Option]) -> None:
    assert read(text) == Options.of(*options)


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        ("pr:", "pr: expected at least one name"),
        ("skp:foo", "skp: expected one of"),
        ("raw:1:1", "at most 1"),
        ("cb:a:b", "at most 1"),
        ("exp:-1", "exp: expected a whole number, 0 or more s"),
        ("exp:tomorrow", "whole number"),
        ("exp:1:1", "at most 1"),
        ("fn:a:1:1", "fn: expected at most 2 arguments, got 3"),
        ("fn:%:1", "fn: expected URL-safe base64, got '%'"),
        ("fn:aG9sa+RheQ:1", "URL-safe base64"),
        ("fn:abcde:1", "URL-safe base64"),  # no base64 has this length
        ("att:1:1", "at most 1"),
        ("msr:-1", "msr: expected a number, 0 or more megapixels"),
        ("msfs:1.5", "msfs: expected a whole number"),
        ("maf:0", "maf: expected a whole number, 1 or more"),
        ("mafr:x", "mafr: expected a number"),
        ("mrd:-1", "mrd: expected a whole number, 0 or more px"),
        ("mrd:1:1", "at most 1"),
    ],
)
def test_refused(segment: str, reason: str) -> None:
    assert reason in refusal(segment)


@pytest.mark.parametrize("tag", ["a%20b", "a%2Cb", "%22", "%5C", "%0A", "%C3%A4", "x" * 129])
def test_a_cache_tag_is_one_word_in_every_header(tag: str) -> None:
    with pytest.raises(BadOption, match="expected words"):
        read_segment("ct", [tag])


def test_cache_tags_are_few_and_each_is_there_once() -> None:
    assert dict(read_segment("ct", ["b", "a", "", "b", "c%2Fd"])[0].values) == {"tags": ("a", "b", "c/d")}
    with pytest.raises(BadOption, match="at most 16"):
        read_segment("ct", [str(n) for n in range(17)])
