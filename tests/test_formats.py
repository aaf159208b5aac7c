from __future__ import annotations

import copy
import pickle
import time

import pytest

from imgproxy.formats import (
    AVIF,
    BMP,
    BY_NAME,
    FORMATS,
    GIF,
    HEIC,
    ICO,
    JPEG,
    JSON,
    JXL,
    PNG,
    RESULTS,
    SNIFF_BYTES,
    SVG,
    TIFF,
    WEBP,
    Format,
    FormatRule,
    sniff,
    writable_instead,
)

# imgproxy's table (spec §1.9): alpha, ICC, quality knob, animation read, animation written, thumbnail, 16 bit.
ABILITIES = {
    "jpeg": "- I Q - - - -",
    "jxl": "A I Q r - - H",
    "png": "A I - - - - H",
    "webp": "A I Q r w - -",
    "gif": "A - - r w - -",
    "ico": "A - - - - - -",
    "svg": "A - - - - - -",
    "heic": "A I Q - - T -",
    "avif": "A I Q - - T H",
    "bmp": "A - - - - - -",
    "tiff": "A I Q - - - H",
}


@pytest.mark.parametrize("format_", FORMATS, ids=lambda each: each.name)
def test_abilities_are_those_of_imgproxy(format_: Format) -> None:
    found = (
        format_.alpha,
        format_.profile,
        bool(format_.quality),
        format_.animated_in,
        format_.animated_out,
        format_.thumbnail,
        format_.deep,
    )
    said = " ".join(letter if has else "-" for letter, has in zip("AIQrwTH", found, strict=True))
    assert said == ABILITIES[format_.name]
    assert format_.vector == (format_ is SVG)


def test_names() -> None:
    assert {name: each.name for name, each in BY_NAME.items()} == {name: name for name in ABILITIES} | {
        "jpg": "jpeg",
        "tif": "tiff",  # ours
    }
    assert (ICO.media_type, HEIC.media_type, JPEG.extension) == ("image/x-icon", "image/heif", ".jpg")
    assert (WEBP.quality, AVIF.quality, JXL.quality, JPEG.quality) == (79, 63, 77, 80)
    assert (WEBP.max_side, AVIF.max_side, HEIC.max_side, ICO.max_side, GIF.max_side) == (
        16383,
        16384,
        16384,
        256,
        65535,
    )


def test_json_is_a_result_and_no_format_of_images() -> None:
    assert {each.name: each for each in (*FORMATS, JSON)} == RESULTS
    assert JSON not in FORMATS
    assert "json" not in BY_NAME
    assert (JSON.media_type, JSON.extension) == ("application/json", ".json")
    rule = FormatRule(JSON)
    assert rule.choose(SVG, animated=True, alpha=True) is JSON
    assert rule.outcomes == ()


@pytest.mark.parametrize("format_", RESULTS.values(), ids=lambda each: each.name)
def test_a_format_that_travelled_is_still_the_same(format_: Format) -> None:
    assert pickle.loads(pickle.dumps(format_)) is format_
    assert copy.deepcopy(FormatRule(format_)).requested is format_


def heif(major: bytes, *compatible: bytes) -> bytes:
    brands = major + b"\0\0\0\0" + b"".join(compatible)
    return (len(brands) + 8).to_bytes(4, "big") + b"ftyp" + brands + b"\0\0\0\x08mdat"


@pytest.mark.parametrize(
    ("head", "format_"),
    [
        (b"\xff\xd8\xff\xe0", JPEG),
        (b"\x89PNG\r\n\x1a\n\0", PNG),
        (b"GIF87a", GIF),
        (b"GIF89a", GIF),
        (b"II*\0", TIFF),
        (b"MM\0*", TIFF),
        (b"II+\0", TIFF),
        (b"MM\0+", TIFF),
        (b"\0\0\1\0", ICO),
        (b"BM6", BMP),
        (b"\xff\x0a", JXL),
        (b"\0\0\0\x0cJXL \r\n\x87\n", JXL),
        (b"RIFF\x10\0\0\0WEBPVP8 ", WEBP),
        (b"RIFF\x10\0\0\0WAVEfmt ", None),
        (heif(b"avif"), AVIF),
        (heif(b"avis", b"msf1"), AVIF),
        (heif(b"mif1", b"miaf", b"avif"), AVIF),
        (heif(b"heic", b"mif1"), HEIC),
        (heif(b"mif1"), HEIC),
        (heif(b"isom", b"mp42"), None),
        (heif(b"heic")[:12], HEIC),
        (b"\0\0\0\x14ftypmif1\0\0\0\0", HEIC),
        (b"<svg>", SVG),
        (b"<svg/>", SVG),
        (b" \n<SVG xmlns='x'>", SVG),
        (b"\xef\xbb\xbf<svg >", SVG),
        (b'<?xml version="1.0"?>\n<svg viewBox="0 0 1 1">', SVG),
        (b'<?xml version="1.0"?><!-- a > b --><!-- -- --><!DOCTYPE svg PUBLIC "a" "b"><svg>', SVG),
        (b'<!DOCTYPE svg [<!ENTITY a "b">]>\n<svg:svg xmlns:svg="x">', SVG),
        (b"<!--" + b"x" * 9000 + b"--><svg>", SVG),
        (b"<svgfoo>", None),
        (b"<html><svg>", None),
        (b"<?xml version='1.0'?><rss>", None),
        (b"<!-- <svg> -->", None),
        (b"", None),
        (b"hello", None),
    ],
)
def test_sniff(head: bytes, format_: Format | None) -> None:
    assert sniff(head) is format_


@pytest.mark.parametrize(
    "part", [b"<!---->", b"<?xml?>", b"<?xml?><!---->", b" ", b"<!DOCTYPE>", b"<!DOCTYPE[]>", b"<!--", b"<!DOCTYPE"]
)
def test_no_head_keeps_the_sniffer_busy(part: bytes) -> None:
    start = time.perf_counter()
    sniff((part * SNIFF_BYTES)[:SNIFF_BYTES])
    assert time.perf_counter() - start < 1  # with a backtracking pattern, thirty comments took minutes


STILL_OPAQUE = {"animated": False, "alpha": False}
ANIMATED = {"animated": True, "alpha": False}
TRANSPARENT = {"animated": False, "alpha": True}


@pytest.mark.parametrize(
    ("rule", "source", "needs", "chosen"),
    [
        (FormatRule(), JPEG, STILL_OPAQUE, JPEG),
        (FormatRule(), PNG, STILL_OPAQUE, PNG),  # the source's own, if preferred
        (FormatRule(), GIF, ANIMATED, GIF),
        (FormatRule(), WEBP, STILL_OPAQUE, JPEG),
        (FormatRule(), WEBP, TRANSPARENT, PNG),
        (FormatRule(), WEBP, ANIMATED, GIF),
        (FormatRule(), WEBP, {"animated": True, "alpha": True}, GIF),
        (FormatRule(), JPEG, TRANSPARENT, JPEG),
        (FormatRule(preferred=(JPEG,)), WEBP, TRANSPARENT, JPEG),  # nothing fits: the first
        (FormatRule(preferred=(WEBP, PNG)), JPEG, STILL_OPAQUE, WEBP),
        (FormatRule(PNG), JPEG, STILL_OPAQUE, PNG),
        (FormatRule(AVIF), GIF, ANIMATED, AVIF),
        (FormatRule(automatic=(AVIF, WEBP)), JPEG, STILL_OPAQUE, AVIF),
        (FormatRule(automatic=(AVIF, WEBP)), GIF, ANIMATED, WEBP),  # AVIF is skipped for animations
        (FormatRule(automatic=(JXL, AVIF)), GIF, ANIMATED, GIF),
        (FormatRule(PNG, automatic=(WEBP,)), JPEG, STILL_OPAQUE, PNG),
        (FormatRule(PNG, enforced=(WEBP,)), JPEG, STILL_OPAQUE, WEBP),  # enforcing beats the extension
        (FormatRule(PNG, enforced=(AVIF,)), GIF, ANIMATED, PNG),
        (FormatRule(), SVG, TRANSPARENT, SVG),
        (FormatRule(automatic=(WEBP,)), SVG, TRANSPARENT, SVG),
        (FormatRule(rasterize_svg=True), SVG, TRANSPARENT, PNG),
        (FormatRule(automatic=(WEBP,), rasterize_svg=True), SVG, TRANSPARENT, WEBP),
        (FormatRule(SVG), SVG, TRANSPARENT, SVG),
        (FormatRule(SVG, enforced=(WEBP,)), SVG, TRANSPARENT, SVG),
        (FormatRule(PNG), SVG, TRANSPARENT, PNG),
    ],
)
def test_choose(rule: FormatRule, source: Format, needs: dict[str, bool], chosen: Format) -> None:
    assert rule.choose(source, **needs) is chosen


@pytest.mark.parametrize(
    ("format_", "size", "alpha", "written"),
    [
        (AVIF, (16, 16), False, AVIF),
        (AVIF, (15, 99), False, JPEG),
        (AVIF, (99, 15), True, PNG),
        (WEBP, (1, 1), True, WEBP),
    ],
)
def test_avif_is_not_written_small(format_: Format, size: tuple[int, int], alpha: bool, written: Format) -> None:
    assert writable_instead(format_, *size, alpha=alpha) is written
