"""Small files that ask for much: dozens of kinds of them, drawn at random from a seed, none above 100 kB.

Each has valid checksums, lengths and offsets: what is wrong with it is what it asks for.
"""

from __future__ import annotations

import base64
import random
import struct
import zlib
from dataclasses import dataclass
from functools import cache
from itertools import count as numbers
from typing import TYPE_CHECKING

import pyvips

from tests import avifs, profiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LARGEST = 100_000


@dataclass(frozen=True, slots=True)
class Bomb:
    """A hostile source, and what must become of it."""

    name: str
    structure: str
    body: bytes
    expect: str
    """What must become of it: "refused", or "either", which is to be rendered if that is cheap."""


def bombs(seed: int, count: int) -> Iterator[Bomb]:
    """As many bombs, of all structures in turn."""
    chance = random.Random(seed)
    kinds = list(STRUCTURES)
    chance.shuffle(kinds)
    made = 0
    for number in numbers():
        if made == count:
            return
        structure = kinds[number % len(kinds)]
        expect, make = STRUCTURES[structure]
        body = make(chance)
        if len(body) <= _LARGEST:
            made += 1
            yield Bomb(f"{seed}-{number}-{structure}", structure, body, expect)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@cache
def _zeros(size: int) -> bytes:
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    return b"".join(
        [*(packer.compress(block) for _ in range(size >> 20)), packer.compress(bytes(size % (1 << 20)))]
    ) + (packer.flush())


def _png(
    width: int, height: int, pixels: bytes, *, depth: int = 8, colour: int = 2, interlace: int = 0, more: bytes = b""
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + more + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _png_filler(chance: random.Random) -> bytes:
    text = bytes(chance.choices(b"abcdefgh ", k=chance.randrange(1, 2000)))
    return chance.choice([b"", _chunk(b"tEXt", b"Comment\0" + text), _chunk(b"gAMA", struct.pack(">I", 45455))])


def _png_solid(chance: random.Random) -> bytes:
    side = chance.randrange(12_000, 60_000)
    return _png(side, chance.randrange(12_000, 60_000), _zeros(64 << 20), more=_png_filler(chance))


def _png_interlaced(chance: random.Random) -> bytes:
    width = chance.randrange(100_000, 800_000)
    height = chance.randrange(16, 64)
    return _png(
        width, height, _zeros(height * (width * 8 + 16)), depth=16, colour=6, interlace=1, more=_png_filler(chance)
    )


def _png_implausible(chance: random.Random) -> bytes:
    return _png(
        chance.randrange(3000, 7000), chance.randrange(3000, 7000), zlib.compress(bytes(chance.randrange(99))), colour=6
    )


def _png_thin(chance: random.Random) -> bytes:
    thin, long = chance.randrange(1, 4), chance.randrange(900_000, 9_000_000)
    width, height = (thin, long) if chance.random() < 0.5 else (long, thin)
    return _png(width, height, zlib.compress(bytes(50)), colour=0)


def _png_wide(chance: random.Random) -> bytes:
    width, height = chance.randrange(250_000, 900_000), chance.randrange(8, 50)
    return _png(width, height, _zeros(height * (4 * width + 1)), colour=6)


def _png_packed(chance: random.Random) -> bytes:
    packed = _zeros(chance.choice([20, 50, 90]) << 20)
    kind, start = chance.choice([(b"iCCP", b"icc\0\0"), (b"zTXt", b"Comment\0\0"), (b"iTXt", b"Comment\0\1\0en\0\0")])
    return _png(9, 9, zlib.compress(bytes(9 * 28)), more=_chunk(kind, start + packed) + _png_filler(chance))


def _png_many_packed(chance: random.Random) -> bytes:
    packed = zlib.compress(bytes(chance.randrange(300, 900) << 10))
    chunk = _chunk(b"zTXt", b"Comment\0\0" + packed)
    return _png(9, 9, zlib.compress(bytes(9 * 28)), more=chunk * chance.randrange(20, 90_000 // len(chunk)))


def _png_many_chunks(chance: random.Random) -> bytes:
    return _png(9, 9, zlib.compress(bytes(9 * 28)), more=_chunk(b"tEXt", b"a\0") * chance.randrange(3000, 6000))


def _gif(width: int, height: int, frames: bytes) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + frames + b";"


def _gif_frame(width: int, height: int, *, interlaced: bool = False) -> bytes:
    return b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0x40 * interlaced) + b"\x02\x02\x44\x01\0"


def _gif_frames(chance: random.Random) -> bytes:
    canvas = chance.randrange(4000, 7000)
    first = _grey(canvas, 16).gifsave_buffer(effort=1)
    first = first[first.index(b"\x2c") :].removesuffix(b";")
    more = (b"\x21\xf9\x04\x0c\1\0\0\0" + _gif_frame(1, 1)) * chance.randrange(100, 3000)
    return _gif(canvas, canvas, first + more)


def _gif_huge(chance: random.Random) -> bytes:
    sides = chance.randrange(9_000, 65_535), chance.randrange(9_000, 65_535)
    return _gif(*sides, _gif_frame(*sides, interlaced=chance.random() < 0.7))


def _grey(width: int, height: int, bands: int = 3) -> pyvips.Image:
    return (pyvips.Image.black(width, height, bands=bands) + 99).cast("uchar").copy(interpretation="srgb")


@cache
def _webp_solid(side: int) -> bytes:
    return _grey(side, side, 4).webpsave_buffer(lossless=True, effort=0)


def _webp_huge(chance: random.Random) -> bytes:
    return _sized_webp(_webp_solid(256), chance.randrange(8_000, 16_383), chance.randrange(8_000, 16_383))


def _sized_webp(body: bytes, width: int, height: int) -> bytes:
    """A lossless one whose header names another size."""
    at = body.index(b"VP8L") + 9
    bits = int.from_bytes(body[at : at + 4], "little") >> 28 << 28 | (height - 1) << 14 | width - 1
    new = bytearray(body)
    new[at : at + 4] = bits.to_bytes(4, "little")
    if (extended := body.find(b"VP8X")) >= 0:
        new[extended + 12 : extended + 18] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(new)


def _webp_animated(chance: random.Random) -> bytes:
    canvas = chance.randrange(8_000, 16_383)
    frame = _webp_solid(256)
    inner = frame[frame.index(b"VP8L") :]
    place = bytes(6) + (255).to_bytes(3, "little") * 2 + (40).to_bytes(3, "little") + b"\0"
    frames = (b"ANMF" + struct.pack("<I", 16 + len(inner)) + place + inner) * chance.randrange(30, 300)
    side = (canvas - 1).to_bytes(3, "little")
    head = b"VP8X" + struct.pack("<I", 10) + b"\x12\0\0\0" + side + side
    chunks = b"WEBP" + head + b"ANIM" + struct.pack("<IIH", 6, 0, 0) + frames
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


@cache
def _avif_solid(width: int, height: int) -> bytes:
    return _grey(width, height).heifsave_buffer(compression="av1", effort=0, Q=20)


_AVIF_SIDES = 6144, 5120
"""Of all of them: libaom needs 1.5 s to code one, where everything else here takes milliseconds."""


def _box(chance: random.Random) -> bytes:
    """Something that decoders skip."""
    size = chance.randrange(8, 9000)
    return struct.pack(">I4s", size, b"free") + bytes(size - 8)


def _avif_huge(chance: random.Random) -> bytes:
    return _avif_solid(*_AVIF_SIDES) + _box(chance)


def _avif_lies(chance: random.Random) -> bytes:
    """Coded large, and promised small."""
    body = bytearray(_avif_solid(*_AVIF_SIDES) + _box(chance))
    at = body.index(b"ispe") + 8
    body[at : at + 8] = struct.pack(">II", chance.randrange(16, 500), chance.randrange(16, 500))
    return bytes(body)


def _avif_grid(chance: random.Random) -> bytes:
    """Large tiles, of which a corner is shown."""
    side = chance.randrange(16, 600)
    tile = chance.choice([1024, 2048])
    count = chance.randrange(9, 17)
    return bytes(avifs.grid(count, count, side, side, tile)) + _box(chance)


def _avif_nested(chance: random.Random) -> bytes:
    kind = chance.choice([b"grid", b"iovl"])
    return bytes(avifs.nested(chance.randrange(4, 12), chance.randrange(9, 17), kind)) + _box(chance)


def _avif_film(chance: random.Random) -> bytes:
    return bytes(avifs.still(film=avifs.film(chance.randrange(10**6, 10**7)))) + _box(chance)


def _avif_deep(chance: random.Random) -> bytes:
    kind = chance.choice([b"iprp", b"ipco", b"meta", b"moov", b"trak"])
    return bytes(avifs.still(more=avifs.deep(kind, chance.randrange(900, 7000)))) + _box(chance)


def _avif_parts(chance: random.Random) -> bytes:
    parts = {1: [(0, 60_000)] * chance.randrange(20, 3000)}
    return bytes(avifs.still(media=bytes(60_000), extents=parts)) + _box(chance)


def _profile_steps(chance: random.Random) -> bytes:
    """Matrix upon matrix, all of them the same 60 bytes."""
    steps = profiles.steps(chance.randrange(2_000, 9_000))
    profile = profiles.profile(dict.fromkeys((b"D2B0", b"D2B1"), steps))
    return profiles.carried(profile, chance.choice([".jpg", ".png", ".webp", ".tiff", ".avif"]))


def _jpeg_parts() -> tuple[bytes, bytes, bytes]:
    """Quantisation and Huffman tables of an ordinary JPEG, and the data of a scan."""
    body: bytes = _grey(64, 64).jpegsave_buffer(keep=0, optimize_coding=False)
    scan = body.index(b"\xff\xda")
    frame = body.index(b"\xff\xc0")
    tables = body[body.index(b"\xff\xdb") : frame]
    after = frame + 2 + int.from_bytes(body[frame + 2 : frame + 4], "big")
    return tables + body[after:scan], body[scan:-2], body[frame:after]


def _jpeg_frame(kind: int, width: int, height: int, components: int = 3) -> bytes:
    parts = b"".join(bytes((n + 1, 0x11, int(n > 0))) for n in range(components))
    return struct.pack(">BBHBHHB", 0xFF, kind, 8 + 3 * components, 8, height, width, components) + parts


def _jpeg_implausible(chance: random.Random) -> bytes:
    tables, scan, _ = _jpeg_parts()
    frame = _jpeg_frame(chance.choice([0xC0, 0xC2]), chance.randrange(5000, 7000), chance.randrange(5000, 7000))
    return b"\xff\xd8" + tables + frame + scan + b"\xff\xd9" + bytes(chance.randrange(20_000))


def _progressive(side: int, scans: int, rest: int = 3) -> bytes:
    """A grey one, whose scans after the first say nothing in a few bytes."""
    tables, _, _ = _jpeg_parts()
    empty = b"\xff\xda\x00\x08\x01\x01\x00\x01\x05\x00" + bytes(rest)
    first = b"\xff\xda\x00\x08\x01\x01\x00\x00\x00\x01" + bytes(side * side // 512 + 1)
    return b"\xff\xd8" + tables + _jpeg_frame(0xC2, side, side, 1) + first[:60_000] + empty * scans + b"\xff\xd9"


def _jpeg_scans(chance: random.Random) -> bytes:
    return _progressive(chance.randrange(1000, 6000), chance.randrange(150, 2000), chance.randrange(2, 9))


def _tiff(tags: dict[int, tuple[int, int]], data: bytes, *, big: bool = False) -> bytes:
    """A directory of single numbers (kind, value), and the data behind it; tag 273 is put where they are."""
    tags = dict(sorted({273: (4, 0), **tags}.items()))
    size = (16 + 8 + 20 * len(tags) + 8) if big else (8 + 2 + 12 * len(tags) + 4)
    tags[273] = (4, size)
    if big:
        entries = b"".join(struct.pack("<HHQQ", tag, kind, 1, value) for tag, (kind, value) in tags.items())
        return b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, len(tags)) + entries + bytes(8) + data
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, (kind, value) in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


def _tiff_solid(chance: random.Random) -> bytes:
    width, height = chance.randrange(9_000, 50_000), chance.randrange(9_000, 50_000)
    compression, data = chance.choice([(8, _zeros(64 << 20)), (5, bytes(90_000)), (32773, b"\x81\0" * 40_000)])
    tags = {256: width, 257: height, 258: 8, 259: compression, 262: 1, 277: 1, 278: height, 279: len(data)}
    return _tiff({tag: (4, value) for tag, value in tags.items()}, data, big=chance.random() < 0.5)


def _tiff_tile(chance: random.Random) -> bytes:
    side = chance.randrange(20_000, 60_000) // 16 * 16
    data = _zeros(chance.choice([20, 64]) << 20)
    tags = {256: 4000, 257: 4000, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 325: len(data)}
    body = _tiff({tag: (4, value) for tag, value in tags.items()}, data)
    return body.replace(struct.pack("<HHI", 273, 4, 1), struct.pack("<HHI", 324, 4, 1), 1)


def _tiff_pages(chance: random.Random) -> bytes:
    count, start = chance.randrange(1500, 3000), 8
    tags = [(256, 1), (257, 1)]
    size = 2 + 12 * len(tags) + 4
    body = b"II*\0" + struct.pack("<I", start)
    for n in range(count):
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
        following = start + (n + 1) * size if n + 1 < count else 0
        body += struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)
    return body


def tiff_of_jpeg(side: int, scans: int) -> bytes:
    """One strip, packed as a progressive JPEG."""
    data = _progressive(side, scans)
    tags = {256: side, 257: side, 258: 8, 259: 7, 262: 1, 277: 1, 278: side, 279: len(data)}
    return _tiff({tag: (4, value) for tag, value in tags.items()}, data)


def _tiff_scans(chance: random.Random) -> bytes:
    return tiff_of_jpeg(chance.randrange(2000, 7000), chance.randrange(300, 1800))


def tiff_of_values(count: int, size: int) -> bytes:
    """A small one with private tags of so many numbers each, which all lie in the same place."""
    tags = {256: 9, 257: 9, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 9, 279: 81}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    entries += [struct.pack("<HHII", 40_000 + n, 3, size, 8) for n in range(count)]
    body = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4)
    return body.ljust(8 + 2 * size, b"\1")


def _tiff_values(chance: random.Random) -> bytes:
    return tiff_of_values(chance.randrange(1_000, 3_900), chance.randrange(20_000, 45_000))


def _svg(inside: str, head: str = "", root: str = 'width="900" height="700"') -> bytes:
    links = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f"{head}<svg {links} {root}>{inside}</svg>".encode()


def _svg_text(chance: random.Random) -> bytes:
    words = " ".join("".join(chance.choices("abcdefghij", k=7)) for _ in range(chance.randrange(800, 8000)))
    wrap = chance.choice(["<text y='20'>{}</text>", "<text><tspan>{}</tspan></text>", "<g><text y='9'>{}</text></g>"])
    return _svg(wrap.format(words))


def _svg_path(chance: random.Random) -> bytes:
    # Drawn again and again: by references, or by a pattern.
    data = "M0 0" + "".join(f"L{chance.randrange(900)} {chance.randrange(700)}" for _ in range(5000))
    return _svg(f'<path id="p" d="{data}" stroke="red"/>' + '<use href="#p" x="1"/>' * chance.randrange(200, 800))


def _svg_uses(chance: random.Random) -> bytes:
    link = chance.choice(["href", "xlink:href"])
    base = chance.randrange(5, 12)
    levels = "".join(
        f'<g id="g{n + 1}">' + f'<use {link}="#g{n}"/>' * base + "</g>" for n in range(chance.randrange(7, 12))
    )
    return _svg(f'<defs><rect id="g0" width="9" height="9"/>{levels}</defs><use {link}="#g7"/>')


def _svg_filter(chance: random.Random) -> bytes:
    kinds = [
        '<feGaussianBlur stdDeviation="{}"/>',
        '<feMorphology operator="dilate" radius="{}"/>',
        '<feTurbulence baseFrequency="0.01" numOctaves="{}"/>',
    ]
    primitives = "".join(
        chance.choice(kinds).format(chance.randrange(600, 90_000)) for _ in range(chance.randrange(3, 200))
    )
    return _svg(f'<filter id="f">{primitives}</filter><rect width="900" height="700" filter="url(#f)"/>')


def _svg_filters(chance: random.Random) -> bytes:
    shape = '<rect width="900" height="700" filter="url(#f)"/>'
    return _svg(
        '<filter id="f"><feGaussianBlur stdDeviation="9"/><feOffset dx="3"/></filter>'
        + shape * chance.randrange(100, 1500)
    )


def _svg_patterns(chance: random.Random) -> bytes:
    kind, named = chance.choice([("pattern", "fill"), ("mask", "mask"), ("clipPath", "clip-path")])
    size = 'width="9" height="9" patternUnits="userSpaceOnUse"' if kind == "pattern" else ""
    levels = "".join(
        f'<{kind} id="p{n + 1}" {size}>' + f'<rect width="9" height="9" {named}="url(#p{n})"/>' * 9 + f"</{kind}>"
        for n in range(chance.randrange(7, 11))
    )
    return _svg(
        f'<{kind} id="p0" {size}><rect width="3" height="3"/></{kind}>{levels}'
        f'<rect width="900" height="700" {named}="url(#p7)"/>'
    )


def _svg_dashes(chance: random.Random) -> bytes:
    dash = chance.choice(["0.0001", "1e-5,1e-5", "0.001 0.002"])
    how = chance.choice(['stroke-dasharray="{}"', 'style="stroke-dasharray:{}"']).format(dash)
    points = "".join(f"L{chance.randrange(9000)} {chance.randrange(9000)}" for _ in range(chance.randrange(20, 2000)))
    return _svg(f'<path {how} stroke="red" d="M0 0{points}"/>')


def _svg_laughs(chance: random.Random) -> bytes:
    if chance.random() < 0.5:
        entities = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 9}">' for n in range(9))
        return _svg("<text>&a9;</text>", f"<!DOCTYPE svg [{entities}]>")
    return _svg(f"<desc>{'&a;' * 20_000}</desc>", f'<!DOCTYPE svg [<!ENTITY a "{"x" * 199}">]>')


def _svg_defaults(chance: random.Random) -> bytes:
    attribute = f'<!DOCTYPE svg [<!ATTLIST g a CDATA "{"x" * chance.randrange(5_000, 40_000)}">]>'
    return _svg("<g/>" * 9_000, attribute)


def _svg_deep(chance: random.Random) -> bytes:
    depth, tag = chance.randrange(300, 8_000), chance.choice(["g", "svg", "a"])
    return _svg(f"<{tag}>" * depth + f"</{tag}>" * depth)


def _svg_embedded(chance: random.Random) -> bytes:
    image = chance.choice([_png_solid, _png_interlaced, _png_implausible, _png_wide])(chance)[:70_000]
    data = base64.b64encode(image).decode()
    return _svg(f'<image {chance.choice(["href", "xlink:href"])}="data:image/png;base64,{data}" width="9" height="9"/>')


_COVER = '<rect width="900" height="700" {}/>'


def _svg_sheet_filters(chance: random.Random) -> bytes:
    """Filters, masks and patterns that no attribute names."""
    name, thing = chance.choice(
        [
            ("filter", '<filter id="a"><feGaussianBlur stdDeviation="9"/></filter>'),
            ("mask", '<mask id="a"><rect width="900" height="700" fill="#fff"/></mask>'),
            ("fill", '<pattern id="a" width="9" height="9">' + "<rect width='3' height='3'/>" * 500 + "</pattern>"),
        ]
    )
    selector, attribute = chance.choice([("rect", ""), (".c", 'class="b c"'), ("svg > *", ""), ("", "")])
    value = f"{name}:url(#a)"
    if not selector:
        return _svg(thing + _COVER.format(f'style="{value}"') * chance.randrange(1000, 1400))
    sheet = f"<style>{selector}{{{value}}}</style>"
    parts = [sheet, thing + _COVER.format(attribute) * chance.randrange(1000, 1400)]
    chance.shuffle(parts)
    return _svg("".join(parts))


def _svg_functions(chance: random.Random) -> bytes:
    functions = chance.choice(["blur(9px) ", "drop-shadow(3px 3px 9px red) ", "saturate(3) "]) * chance.randrange(
        90, 900
    )
    return _svg(_COVER.format(chance.choice(['filter="{}"', 'style="filter:{}"']).format(functions)))


def _svg_markers(chance: random.Random) -> bytes:
    marker = '<marker id="m">' + '<circle r="3"/>' * chance.randrange(100, 400) + "</marker>"
    path = f'd="M0 0{"h1v1" * chance.randrange(3_000, 9_000)}"'
    how = chance.choice(["<g marker-mid='url(#m)'><path {}/></g>", "<path marker='url(#m)' {}/>"])
    return _svg(marker + how.format(path) + chance.choice(["", "<style>path{marker-start:url(#m)}</style>"]))


def _svg_inherited(chance: random.Random) -> bytes:
    """A paint that a thousand shapes inherit."""
    stops = '<stop offset=".5"/>' * chance.randrange(900, 1500)
    kind = chance.choice(["linearGradient", "radialGradient"])
    shapes = _COVER.format("") * chance.randrange(900, 1500)
    return _svg(f'<{kind} id="a">{stops}</{kind}><g {chance.choice(["fill", "stroke"])}="url(#a)">{shapes}</g>')


def scribble(count: int, seed: int, side: int = 900) -> str:
    """Lines from one random point to the next."""
    chance = random.Random(seed)
    return " ".join(f"{chance.random() * side:.1f} {chance.random() * side:.1f}" for _ in range(count))


def _svg_scribble(chance: random.Random) -> bytes:
    path = scribble(chance.randrange(5_000, 7_000), chance.randrange(1 << 30))
    return _svg(f'<path stroke="red" d="M0 0L{path}"/>')


def _svg_fonts(chance: random.Random) -> bytes:
    texts = (
        f'<text y="9" font-size="{chance.uniform(5, 50):.3f}">abc</text>' for _ in range(chance.randrange(1100, 1900))
    )
    return _svg("".join(texts))


def _svg_neighbours(chance: random.Random) -> bytes:
    rules = "".join(f".c{n}~g{{r:1}}" for n in range(chance.randrange(300, 1500)))
    return _svg(f"<style>{rules}</style>" + "<g/>" * chance.randrange(4_000, 9_000))


def _svg_declarations(chance: random.Random) -> bytes:
    return _svg(
        f"<style>*{{{'fill:red;' * chance.randrange(4_000, 6_000)}}}</style>" + "<g/>" * chance.randrange(6_000, 9_000)
    )


def _svg_covers(chance: random.Random) -> bytes:
    """A large picture that is painted over and over; how large it will be drawn, the request says."""
    side = chance.randrange(3_000, 7_000)
    how = chance.choice(["fill-opacity='.5'", "style='mix-blend-mode:multiply'", "style='opacity:.5'"])
    shape = f'<rect width="{side}" height="{side}" {how}/>'
    return _svg(
        '<g id="a">' + shape * 90 + "</g>" + '<use href="#a"/>' * chance.randrange(100, 900),
        root=f'width="{side}" height="{side}"',
    )


def _svg_dashed_uses(chance: random.Random) -> bytes:
    path = f'<path id="a" stroke="red" stroke-dasharray="1" d="M0 0{"H900V700H0V9" * chance.randrange(1, 5)}"/>'
    return _svg(path + '<use href="#a"/>' * chance.randrange(1_000, 4_000))


def _svg_elements(chance: random.Random) -> bytes:
    return _svg(chance.choice(["<g/>", "<b/>", "<a/>"]) * chance.randrange(21_000, 24_000))


def _svg_styles(chance: random.Random) -> bytes:
    rules = "".join(f"g a b[x]~.c{n}{{r:1}}" for n in range(chance.randrange(1500, 3000)))
    return _svg(f"<style>{rules}</style>" + "<g/>" * chance.randrange(5_000, 9_000))


STRUCTURES: dict[str, tuple[str, Callable[[random.Random], bytes]]] = {
    "png-solid": ("refused", _png_solid),
    "png-interlaced": ("either", _png_interlaced),
    "png-implausible": ("refused", _png_implausible),
    "png-thin": ("refused", _png_thin),
    "png-wide": ("either", _png_wide),
    "png-packed": ("refused", _png_packed),
    "png-many-packed": ("refused", _png_many_packed),
    "png-many-chunks": ("refused", _png_many_chunks),
    "gif-frames": ("either", _gif_frames),
    "gif-huge": ("refused", _gif_huge),
    "webp-huge": ("refused", _webp_huge),
    "webp-animated": ("refused", _webp_animated),
    "avif-huge": ("refused", _avif_huge),
    "avif-lies": ("refused", _avif_lies),
    "avif-grid": ("refused", _avif_grid),
    "avif-nested": ("refused", _avif_nested),
    "avif-film": ("refused", _avif_film),
    "avif-deep": ("refused", _avif_deep),
    "avif-parts": ("refused", _avif_parts),
    "profile-steps": ("refused", _profile_steps),
    "jpeg-implausible": ("refused", _jpeg_implausible),
    "jpeg-scans": ("refused", _jpeg_scans),
    "tiff-solid": ("refused", _tiff_solid),
    "tiff-tile": ("refused", _tiff_tile),
    "tiff-pages": ("refused", _tiff_pages),
    "tiff-scans": ("refused", _tiff_scans),
    "tiff-values": ("refused", _tiff_values),
    "svg-text": ("refused", _svg_text),
    "svg-path": ("refused", _svg_path),
    "svg-uses": ("refused", _svg_uses),
    "svg-filter": ("refused", _svg_filter),
    "svg-filters": ("refused", _svg_filters),
    "svg-patterns": ("refused", _svg_patterns),
    "svg-dashes": ("refused", _svg_dashes),
    "svg-laughs": ("refused", _svg_laughs),
    "svg-defaults": ("refused", _svg_defaults),
    "svg-deep": ("refused", _svg_deep),
    "svg-embedded": ("either", _svg_embedded),
    "svg-elements": ("refused", _svg_elements),
    "svg-styles": ("refused", _svg_styles),
    "svg-sheet-filters": ("refused", _svg_sheet_filters),
    "svg-functions": ("refused", _svg_functions),
    "svg-markers": ("refused", _svg_markers),
    "svg-inherited": ("refused", _svg_inherited),
    "svg-scribble": ("refused", _svg_scribble),
    "svg-fonts": ("refused", _svg_fonts),
    "svg-neighbours": ("refused", _svg_neighbours),
    "svg-declarations": ("refused", _svg_declarations),
    "svg-covers": ("either", _svg_covers),
    "svg-dashed-uses": ("refused", _svg_dashed_uses),
}
