"""What is left of an image's metadata when it is stripped: nothing, or who made it and who owns it."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pyvips

from imgproxy.render import markup
from imgproxy.render.fields import blob, names, remove

if TYPE_CHECKING:
    from collections.abc import Iterator

Field = tuple[int, str, Any]
"""GType, name, value: as ``set_type`` takes it."""
_TEXT, _BLOB = pyvips.GValue.gstr_type, pyvips.GValue.blob_type

_DPI_72 = 72 / 25.4
"""Pixels per millimetre. imgproxy resets the resolution, too (``STRIP_METADATA_DPI``)."""

# What a saver or a later step needs to know. Everything else that is not of the picture itself goes: EXIF, its
# thumbnail and its orientation, IPTC, XMP, PNG comments, TIFF descriptions, gain maps, and what comes in future.
_KEPT = frozenset(
    (
        *(b"n-pages", b"page-height", b"delay", b"loop", b"background"),
        *(b"gif-palette", b"palette", b"bits-per-sample"),
        *(b"vips-loader", b"vips-sequential", b"interlaced"),
    )
)
_PROFILE = b"icc-profile-data"

_EXIF_NAMES = {0x013B: "exif-ifd0-Artist", 0x8298: "exif-ifd0-Copyright"}
_EXIF_TEXTS = (2, 129)
"""Field types: ASCII, and the UTF-8 of EXIF 3.0."""
_IIM_KEPT = {(2, 80), (2, 110), (2, 116)}
"""By-line, credit, copyright notice (IPTC-IIM 4.2)."""
_IPTC_BYTES = 1 << 20
"""A dataset can be five bytes long, and 4 MB of them take 0.4 s. A JPEG carries 64 kB."""
_IRB_IPTC = 0x0404
_PHOTOSHOP = b"Photoshop 3.0\0"

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_RIGHTS = "{http://ns.adobe.com/xap/1.0/rights/}"
_CC = "{http://creativecommons.org/ns#}"
_META = "{adobe:ns:meta/}"
_XMP_KEPT = {f"{_DC}{name}" for name in ("rights", "contributor", "creator", "publisher")}
_XMP_BYTES = 1 << 20
_XMP_MARKS = 20_000
"""Tags, attributes and references, of each. Cameras write a few dozen; what old layers of Photoshop documents leave,
tens of thousands, names no owner."""
for _prefix, _uri in (("rdf", _RDF), ("dc", _DC), ("xmpRights", _RIGHTS), ("cc", _CC), ("x", _META)):
    ET.register_namespace(_prefix, _uri[1:-1])


def strip(image: pyvips.Image, *, keep_copyright: bool, keep_profile: bool) -> pyvips.Image:
    """The image without metadata, at 72 dpi; with ``keep_copyright`` its authors' and owners' names stay."""
    kept = _copyright(image) if keep_copyright else []
    image = image.copy(xres=_DPI_72, yres=_DPI_72)
    for name in names(image):
        if name not in _KEPT and not (name == _PROFILE and keep_profile):
            remove(image, name)
    for kind, name, value in kept:
        image.set_type(kind, name, value)
    return image


def with_bare_iptc(image: pyvips.Image) -> pyvips.Image:
    """The image with its IPTC as TIFF wants it: out of Photoshop's wrapping."""
    block = blob(image, "iptc-data")
    if not block.startswith(_PHOTOSHOP):
        return image
    bare = _from_photoshop(block)
    image = image.copy()
    # libvips counts the block in words of 32 bits, libtiff (4.7) in bytes: a quarter of what is set here is written.
    image.set_type(_BLOB, "iptc-data", bare.ljust(4 * len(bare), b"\0"))  # pyright: ignore[reportArgumentType] - the stub forgets blobs
    return image


def _copyright(image: pyvips.Image) -> list[Field]:
    """The fields to set again. What cannot be read is dropped: metadata must not break an image."""
    kept: list[Field] = []
    for name, select in (("exif-data", _exif), ("iptc-data", _iptc), ("xmp-data", _xmp)):
        if image.get_typeof(name):
            with suppress(ValueError, struct.error):
                kept += select(image, _blob(image, name))
    return kept


def _blob(image: pyvips.Image, name: str) -> bytes:
    try:
        value = image.get(name)
    except RuntimeError:  # pyvips stumbles over an empty one
        return b""
    return value if isinstance(value, bytes) else b""


def _exif(image: pyvips.Image, block: bytes) -> list[Field]:
    """A new EXIF block with the two entries, byte by byte as they were.

    libvips would write its fields back as ASCII ("© Zoë" becomes "(C) Zoe", which it then cannot tell from its
    own annotation), and leaves entries that it cannot name. It takes an entry of the block as it is if the field of
    the same name says the same, hence the fields.
    """
    tiff = block.removeprefix(b"Exif\0\0")
    # Places first: each of 65,535 entries can say that the whole block is its value.
    places = {tag: (kind, place) for tag, kind, place in _ifd0(tiff) if tag in _EXIF_NAMES and kind in _EXIF_TEXTS}
    kept = {tag: (places[tag][0], tiff[places[tag][1]]) for tag in sorted(places) if image.get_typeof(_EXIF_NAMES[tag])}
    if not kept:
        return []
    at = 8 + 2 + 12 * len(kept) + 4
    directory, values = struct.pack("<H", len(kept)), b""
    for tag, (kind, value) in kept.items():
        place = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", at + len(values))
        directory += struct.pack("<HHI", tag, kind, len(value)) + place
        values += value if len(value) > 4 else b""
    new = b"Exif\0\0" + b"II*\0" + struct.pack("<I", 8) + directory + bytes(4) + values
    texts = [(_TEXT, _EXIF_NAMES[tag], image.get(_EXIF_NAMES[tag])) for tag in kept]
    return [(_BLOB, "exif-data", new), *texts]


def _ifd0(tiff: bytes) -> Iterator[tuple[int, int, slice]]:
    """Tag, field type and the place of the value of the one-byte-wide entries of the first directory (TIFF 6.0 §2)."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2], "")
    if not order:
        raise ValueError("no EXIF")
    (at,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, size, place = struct.unpack_from(f"{order}HHII", tiff, entry)
        start = entry + 8 if size <= 4 else place
        if start + size <= len(tiff):
            yield tag, kind, slice(start, start + size)


def _iptc(_: pyvips.Image, block: bytes) -> list[Field]:
    """A new IPTC block with the three datasets."""
    if len(block) > _IPTC_BYTES:
        raise ValueError("IPTC that is too long")
    iim = _from_photoshop(block) if block.startswith(_PHOTOSHOP) else block
    kept = b"".join(raw for record, dataset, raw in _datasets(iim) if (record, dataset) in _IIM_KEPT)
    if not kept:
        return []
    kept += b"\0" * (len(kept) % 2)
    # In the wrapping that JPEG wants (the only common format that carries IPTC), also if it came bare, from a TIFF.
    return [(_BLOB, "iptc-data", _PHOTOSHOP + b"8BIM" + struct.pack(">HHI", _IRB_IPTC, 0, len(kept)) + kept)]


def _from_photoshop(block: bytes) -> bytes:
    """The IPTC among Photoshop's image resources: "8BIM", number, Pascal string, length, data, each padded to even."""
    at = len(_PHOTOSHOP)
    while block[at : at + 4] == b"8BIM":
        number, name_length = struct.unpack_from(">HB", block, at + 4)
        at += 6 + (name_length + 2) // 2 * 2
        (size,) = struct.unpack_from(">I", block, at)
        if number == _IRB_IPTC:
            return block[at + 4 : at + 4 + size]
        at += 4 + (size + 1) // 2 * 2
    return b""


def _datasets(iim: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Record, dataset and the raw bytes of each. An extended dataset (over 32 kB) ends the walk: no name is so long."""
    at = 0
    while iim[at : at + 1] == b"\x1c":
        record, dataset, size = struct.unpack_from(">BBH", iim, at + 1)
        if size >= 0x8000:
            return
        yield record, dataset, iim[at : at + 5 + size]
        at += 5 + size


def _xmp(_: pyvips.Image, packet: bytes) -> list[Field]:
    """A new XMP packet with the owned properties, whether elements or attributes."""
    _check_cost(packet)
    root = markup.read(packet.strip(b"\0 \t\r\n"))
    kept = ET.Element(f"{_RDF}Description", {f"{_RDF}about": ""})
    for description in root.iter(f"{_RDF}Description"):
        kept.attrib.update((name, value) for name, value in description.attrib.items() if _owned(name))
        kept.extend(child for child in description if _owned(child.tag))
    if len(kept) == 0 and len(kept.attrib) == 1:
        return []
    meta = ET.Element(f"{_META}xmpmeta")
    ET.SubElement(meta, f"{_RDF}RDF").append(kept)
    text = ET.tostring(meta, encoding="utf-8")
    start = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'.encode()
    return [(_BLOB, "xmp-data", start + text + b'<?xpacket end="r"?>')]


def _check_cost(packet: bytes) -> None:
    """Refuse what would take long to read: 4 kB of a PNG unpack to a million elements, which take 1.3 s."""
    text = packet.replace(b"\0", b"")  # of UTF-16
    if b"<!DOCTYPE" in text:
        raise ValueError("XMP that declares entities")
    if len(packet) > _XMP_BYTES or any(text.count(mark) > _XMP_MARKS for mark in (b"<", b"=", b"&")):
        raise ValueError("XMP that is too long")


def _owned(name: str) -> bool:
    return name in _XMP_KEPT or name.startswith((_RIGHTS, _CC))
