"""Stripping: what stays and what goes, written by every saver and read again."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from typing import Any

import pytest
import pyvips

from imgproxy.render.metadata import strip
from tests.render.rendering import render

TEXT, BLOB = pyvips.GValue.gstr_type, pyvips.GValue.blob_type
IIM = b"".join(
    b"\x1c" + bytes((2, dataset)) + len(value).to_bytes(2, "big") + value
    for dataset, value in (
        (0, b"\0\4"),
        (80, b"Jane Doe"),
        (90, b"Berlin"),
        (110, b"Agency"),
        (116, b"(c) 2024"),
        (120, b"secret"),
    )
)
PHOTOSHOP = (
    b"Photoshop 3.0\0"
    + b"8BIM\x04\x0c\x03odd\0\0\0\x05thumb\0"
    + b"8BIM\x04\x04\0\0" + len(IIM).to_bytes(4, "big") + IIM + b"\0" * (len(IIM) % 2)
)  # fmt: skip
XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:r="http://ns.adobe.com/xap/1.0/rights/" xmlns:cc="http://creativecommons.org/ns#"
 exif:GPSLatitude="52,31N" r:Marked="True">
<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">© Jane Doe</rdf:li></rdf:Alt></dc:rights>
<dc:creator><rdf:Seq><rdf:li>Jane</rdf:li></rdf:Seq></dc:creator><dc:description>secret</dc:description>
<r:WebStatement>https://jane.test/</r:WebStatement><cc:license rdf:resource="https://creativecommons.org/licenses/by/4.0/"/>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>""".encode()
SAVERS = [".jpg", ".webp", ".png", ".avif"]


def exif(**texts: bytes) -> bytes:
    """A big-endian EXIF block with ASCII entries, a maker note, an unknown tag, a position and a thumbnail."""
    tags = {"description": 0x010E, "make": 0x010F, "artist": 0x013B, "copyright": 0x8298, "private": 0xC7F0}
    entries = sorted((tags[name], 2, text + b"\0") for name, text in texts.items())
    directory = len(entries) + 2
    values_at = 8 + 2 + 12 * directory + 4
    out, values = b"MM\0*" + (8).to_bytes(4, "big") + directory.to_bytes(2, "big"), b""

    def entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
        return tag.to_bytes(2, "big") + kind.to_bytes(2, "big") + count.to_bytes(4, "big") + value

    for tag, kind, value in entries:
        place = value.ljust(4, b"\0") if len(value) <= 4 else (values_at + len(values)).to_bytes(4, "big")
        out += entry(tag, kind, len(value), place)
        values += value if len(value) > 4 else b""
    note = b"MAKERNOTE-SECRET"
    at = values_at + len(values)
    sub = (1).to_bytes(2, "big") + entry(0x927C, 7, len(note), (at + 18).to_bytes(4, "big")) + bytes(4) + note
    gps_at = at + len(sub)
    gps = (1).to_bytes(2, "big") + entry(1, 2, 2, b"N\0\0\0") + bytes(4)
    out += entry(0x8769, 4, 1, at.to_bytes(4, "big")) + entry(0x8825, 4, 1, gps_at.to_bytes(4, "big"))
    thumbnail = pyvips.Image.black(8, 8).jpegsave_buffer(keep=0)
    ifd1_at = gps_at + len(gps)
    ifd1 = (2).to_bytes(2, "big")
    ifd1 += entry(0x0201, 4, 1, (ifd1_at + 30).to_bytes(4, "big")) + entry(
        0x0202, 4, 1, len(thumbnail).to_bytes(4, "big")
    )
    return b"Exif\0\0" + out + ifd1_at.to_bytes(4, "big") + values + sub + gps + ifd1 + bytes(4) + thumbnail


def picture(exif_block: bytes | None = None, **blobs: bytes) -> Any:
    """A photograph as a camera and an editor leave it."""
    image: Any = pyvips.Image.black(64, 48, bands=3).copy(interpretation="srgb", xres=300 / 25.4, yres=300 / 25.4)
    for name, value in blobs.items():
        image.set_type(BLOB, name.replace("_", "-"), value)
    image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    body = image.jpegsave_buffer(keep=30)  # all but EXIF, which libvips would make anew
    if exif_block is not None:
        body = body[:2] + b"\xff\xe1" + (len(exif_block) + 2).to_bytes(2, "big") + exif_block + body[2:]
    return pyvips.Image.jpegload_buffer(body)


def saved(image: Any, suffix: str) -> Any:
    return pyvips.Image.new_from_buffer(image.write_to_buffer(suffix, keep="all"), "")


def texts(image: Any) -> str:
    """All metadata in one text, to look for what must not be there."""
    values = [image.get(name) for name in image.get_fields()]
    return " ".join(v.decode("latin-1") if isinstance(v, bytes) else str(v) for v in values)


FULL = exif(
    copyright="© Zoë (all rights)".encode(),
    artist=b"Jane",
    make=b"Camera",
    private=b"SECRET-TAG",
    description=b"secret",
)
SECRETS = ("secret", "SECRET", "Camera", "Berlin", "52,31N", "GPSLatitude", "thumb", "JFIF\0\1\2" * 2)


@pytest.mark.parametrize("suffix", SAVERS)
def test_only_the_owners_stay(suffix: str) -> None:
    image = picture(FULL, iptc_data=PHOTOSHOP, xmp_data=XMP)
    assert "GPSLatitude" in texts(image) and "Camera" in texts(image) and "MakerNote" in " ".join(image.get_fields())  # noqa: PT018
    left = saved(strip(image, keep_copyright=True, keep_profile=True), suffix)

    assert left.get("exif-ifd0-Copyright").startswith("© Zoë (all rights)")
    assert "© Zoë (all rights)".encode() in left.get("exif-data")
    assert left.get("exif-ifd0-Artist").startswith("Jane ")
    xmp = left.get("xmp-data").decode()
    for part in ("© Jane Doe", "<rdf:li>Jane</rdf:li>", "https://jane.test/", "licenses/by/4.0/", "Marked"):
        assert part in xmp
    if suffix == ".jpg":
        assert left.get("iptc-data").startswith(b"Photoshop 3.0\0008BIM\x04\x04\0\0\0\0")
        for part in (b"\x1c\x02\x50\0\x08Jane Doe", b"\x1c\x02\x6e\0\x06Agency", b"\x1c\x02\x74\0\x08(c) 2024"):
            assert part in left.get("iptc-data")
    for secret in SECRETS:
        assert secret not in texts(left)
    assert not [name for name in left.get_fields() if "ifd1" in name or "ifd3" in name or "MakerNote" in name]
    assert not left.get_typeof("jpeg-thumbnail-data") or not left.get("jpeg-thumbnail-data")


@pytest.mark.parametrize("suffix", SAVERS)
def test_nothing_stays(suffix: str) -> None:
    left = saved(
        strip(picture(FULL, iptc_data=PHOTOSHOP, xmp_data=XMP), keep_copyright=False, keep_profile=True), suffix
    )
    assert not {"xmp-data", "iptc-data", "exif-ifd0-Copyright", "exif-ifd0-Artist"} & set(left.get_fields())
    for secret in (*SECRETS, "Jane"):
        assert secret not in texts(left)


def test_nothing_is_kept_where_nothing_was() -> None:
    image: Any = strip(picture(), keep_copyright=True, keep_profile=True)
    assert not [name for name in image.get_fields() if name.startswith(("exif", "xmp", "iptc"))]


def test_resolution_and_orientation_are_reset() -> None:
    image: Any = strip(picture(FULL), keep_copyright=True, keep_profile=True)
    assert image.xres == image.yres == 72 / 25.4
    assert image.get_typeof("orientation") == 0
    left = saved(image, ".jpg")
    assert left.get("exif-ifd0-XResolution").startswith("72/1")
    assert left.get("orientation") == 1


@pytest.mark.parametrize("keep", [True, False])
def test_the_profile_is_a_choice_of_its_own(keep: bool) -> None:
    image: Any = pyvips.Image.black(8, 8, bands=3).copy(interpretation="srgb")
    image.set_type(BLOB, "icc-profile-data", b"profile")
    assert bool(strip(image, keep_copyright=False, keep_profile=keep).get_typeof("icc-profile-data")) is keep


def test_animations_keep_what_makes_them_move() -> None:
    frames = (pyvips.Image.xyz(8, 24)[1] * 10 + [0, 5, 9]).cast("uchar").copy(interpretation="srgb")
    for name, value in (("page-height", 8), ("n-pages", 3), ("loop", 2)):
        frames.set_type(pyvips.GValue.gint_type, name, value)
    frames.set_type(pyvips.GValue.array_int_type, "delay", [40, 200, 30])
    frames.set_type(TEXT, "png-comment-0-Software", "secret")
    gif = pyvips.Image.gifload_buffer(frames.gifsave_buffer(), n=-1)
    for image in (frames, gif):
        left: Any = strip(image, keep_copyright=True, keep_profile=True)
        assert not left.get_typeof("png-comment-0-Software")
        again: Any = pyvips.Image.webpload_buffer(left.webpsave_buffer(), n=-1)
        assert [again.get(name) for name in ("n-pages", "page-height", "loop", "delay")] == [3, 8, 2, [40, 200, 30]]


BROKEN = {
    "exif_data": [
        b"",
        b"Exif\0\0",
        b"Exif\0\0II*\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
    ],
    "iptc_data": [
        b"",
        b"Photoshop 3.0\0",
        PHOTOSHOP[:50],
        b"\x1c\x02\x50\xff\xff",
        b"\x1c\x02",
        b"Photoshop 3.0\x008BIM",
    ],
    "xmp_data": [
        b"",
        b"<x",
        b"<x/>",
        b'<!DOCTYPE x [<!ENTITY a "b"><!ENTITY c "&a;">]><x>&c;</x>',
        b"<a>" * 5000,
        XMP[:-400],
        XMP.replace(b"</rdf:RDF>", b"<a/>" * 20_000 + b"</rdf:RDF>"),
        XMP.replace(b"</rdf:RDF>", b"<a " + b" ".join(b'a%d=""' % n for n in range(20_000)) + b"/></rdf:RDF>"),
        XMP.replace(b"</rdf:RDF>", b"&#32;" * 20_001 + b"</rdf:RDF>"),
        XMP.replace(b"</rdf:RDF>", b" " * (1 << 20) + b"</rdf:RDF>"),
        b'<!DOCTYPE x [<!ENTITY a "b">]>' + XMP,
        XMP.decode().replace("<?xpacket", "<!DOCTYPE x><?xpacket", 1).encode("utf-16"),
    ],
}


@pytest.mark.parametrize(("name", "block"), [(name, block) for name, blocks in BROKEN.items() for block in blocks])
def test_broken_metadata_is_dropped(name: str, block: bytes) -> None:
    image: Any = pyvips.Image.black(8, 8, bands=3).copy(interpretation="srgb")
    image.set_type(BLOB, name.replace("_", "-"), block)
    image.set_type(TEXT, "exif-ifd0-Copyright", "x")
    left: Any = strip(image, keep_copyright=True, keep_profile=True)
    assert not left.get_typeof(name.replace("_", "-"))
    saved(left, ".jpg")


def test_bare_iptc_of_a_tiff_is_wrapped_for_jpeg() -> None:
    image: Any = pyvips.Image.black(8, 8, bands=3).copy(interpretation="srgb")
    image.set_type(BLOB, "iptc-data", IIM)
    left: Any = strip(image, keep_copyright=True, keep_profile=True).get("iptc-data")
    assert left.startswith(b"Photoshop 3.0\0")
    assert b"Jane Doe" in left
    assert b"secret" not in left


@pytest.mark.parametrize("stripped", [True, False])
def test_the_iptc_of_a_tiff_is_bare(*, stripped: bool) -> None:
    image: Any = pyvips.Image.black(8, 8, bands=3).copy(interpretation="srgb")
    image.set_type(BLOB, "iptc-data", IIM)
    wrapped = strip(image, keep_copyright=True, keep_profile=True).jpegsave_buffer()
    result = render(wrapped, "f:tiff", strip_metadata=stripped)
    left: Any = pyvips.Image.new_from_buffer(result.body, "").get("iptc-data")
    assert left.startswith(b"\x1c\x02")
    assert b"Jane Doe" in left


@pytest.mark.parametrize("stripped", [True, False])
def test_a_png_keyword_in_latin_1_breaks_nothing(*, stripped: bool) -> None:
    """PNG §11.3.3: keywords are Latin-1, which pyvips takes for UTF-8."""
    png: bytes = pyvips.Image.black(9, 9).pngsave_buffer()
    chunk = b"tEXt\xdcbersicht\0drawn"
    chunk = (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    result = render(png[:33] + chunk + png[33:], strip_metadata=stripped)
    assert (result.width, stripped and b"drawn" in result.body) == (9, False)


def test_entries_of_exif_that_share_a_value_are_copied_once() -> None:
    """Each of them says that almost the whole block is its text: 200 MB in all."""
    count, size = 500, 400_000
    entries = b"".join(struct.pack("<HHII", 0x8298 - n, 2, size - 1, 0) for n in range(count))
    block = b"Exif\0\0" + (b"II*\0\x08\0\0\0" + struct.pack("<H", count) + entries).ljust(size, b"x")
    image: Any = pyvips.Image.black(8, 8, bands=3).copy(interpretation="srgb")
    image.set_type(BLOB, "exif-data", block)
    image.set_type(TEXT, "exif-ifd0-Copyright", "x")
    tracemalloc.start()
    try:
        strip(image, keep_copyright=True, keep_profile=True)
        assert tracemalloc.get_traced_memory()[1] < 10 * size
    finally:
        tracemalloc.stop()
