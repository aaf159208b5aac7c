"""Metadata, colour profiles and the encoder."""

from __future__ import annotations

import pytest

from imgproxy.formats import AVIF, JPEG, PNG, TIFF, WEBP
from imgproxy.options import (
    EnforceThumbnail,
    FormatQuality,
    KeepCopyright,
    MaxBytes,
    Option,
    Options,
    PreserveHdr,
    Quality,
    ResultFormat,
    StripColorProfile,
    StripMetadata,
)
from tests.options.reading import read, refusal


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("sm:0", [StripMetadata(False)]),
        ("strip_metadata:1", []),
        ("kcr:F", [KeepCopyright(False)]),
        ("keep_copyright:true", []),
        ("scp:false", [StripColorProfile(False)]),
        ("strip_color_profile:1", []),
        ("ph:1", [PreserveHdr(True)]),
        ("preserve_hdr:true", [PreserveHdr(True)]),
        ("eth:1", [EnforceThumbnail(True)]),
        ("enforce_thumbnail:on", []),
        ("q:50", [Quality(50)]),
        ("quality:100", [Quality(100)]),
        ("q:50/q:0", []),
        ("fq:jpeg:70", [FormatQuality((("jpeg", 70),))]),
        ("fq:jpg:70:webp:60", [FormatQuality((("jpeg", 70), ("webp", 60)))]),
        ("format_quality:webp:60/fq:avif:40", [FormatQuality((("avif", 40), ("webp", 60)))]),  # merged
        ("fq:webp:60/fq:webp:50:jpeg:0", [FormatQuality((("jpeg", 0), ("webp", 50)))]),
        ("mb:10000", [MaxBytes(10000)]),
        ("max_bytes:0", []),
        ("f:webp", [ResultFormat(WEBP)]),
        ("format:jpg", [ResultFormat(JPEG)]),
        ("ext:jpeg", [ResultFormat(JPEG)]),
        ("f:png/f:tiff", [ResultFormat(TIFF)]),
        ("f:avif/f:", [ResultFormat(AVIF)]),
        ("ext:png", [ResultFormat(PNG)]),
    ],
)
def test_read(text: str, options: list[Option]) -> None:
    assert read(text) == Options.of(*options)


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        ("sm:1:1", "at most 1"),
        ("kcr:1:1", "at most 1"),
        ("scp:1:1", "at most 1"),
        ("ph:1:1", "at most 1"),
        ("eth:1:1", "at most 1"),
        ("q:101", "q: expected a whole number, 0 to 100, got '101'"),
        ("q:-1", "0 to 100"),
        ("q:80.5", "0 to 100"),
        ("q:1:2", "at most 1"),
        ("fq:jpeg", "fq: expected pairs of format and quality"),
        ("fq:", "pairs"),
        ("fq:jpeg:70:webp", "pairs"),
        ("fq:foo:70", "fq: expected one of jpeg, jpg, jxl"),
        ("fq:jpeg:101", "0 to 100"),
        ("fq:jpeg:", "0 to 100, got ''"),
        ("mb:-1", "mb: expected a whole number, 0 or more bytes"),
        ("mb:1:1", "at most 1"),
        ("f:foo", "f: expected one of"),
        ("f:WEBP", "WEBP"),
        ("f:webp:png", "at most 1"),
    ],
)
def test_refused(segment: str, reason: str) -> None:
    assert reason in refusal(segment)


@pytest.mark.parametrize("text", ["1", "t", "T", "true", "TRUE", "True"])
def test_true(text: str) -> None:
    assert read(f"eth:{text}")[EnforceThumbnail].enabled


@pytest.mark.parametrize("text", ["0", "f", "F", "false", "FALSE", "False", "yes", "on", "tRUE", "2", ""])
def test_false_is_all_else(text: str) -> None:
    assert not read(f"sm:{text}")[StripMetadata].enabled
