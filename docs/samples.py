"""Makes the pictures of ``imgproxy demo``: ``python docs/samples.py <folder of photographs>``.

Photographs are reduced and stripped; everything else is drawn here. The same libvips, fonts
(DejaVu) and photographs give the same bytes, so a rerun leaves the checkout unchanged.
What each file shows and where it comes from: ``docs/samples.md``.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pyvips

SAMPLES = Path(__file__).parent.parent / "imgproxy" / "samples"
LONGEST = 1600
# 85 is where a reduced photograph still shows encoders something to save, and five of them fit
# a megabyte and a half.
QUALITY = 85
EXIF_ROTATE_TO_THE_RIGHT = 6


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("usage: python docs/samples.py <folder of photographs>")
    SAMPLES.mkdir(exist_ok=True)
    for name, body in {**photographs(Path(sys.argv[1])), **drawings()}.items():
        (SAMPLES / name).write_bytes(body)
        print(f"{name:16} {len(body):>8} bytes")


def photographs(folder: Path) -> dict[str, bytes]:
    """The five reduced photographs, by file name."""
    car = pyvips.Image.new_from_file(str(folder / "car-12mp.jpg"))
    panorama = car.crop(0, 950, car.width, car.width // 3)
    return {
        "koi.jpg": jpeg(reduced(folder / "koi-16mp.jpg")),
        "tomatoes.jpg": jpeg(reduced(folder / "tomatoes-13mp.jpg")),
        "leaf.jpg": jpeg(reduced(folder / "leaf-14mp.jpg")),
        "car.jpg": jpeg(panorama.thumbnail_image(LONGEST)),
        "sideways.jpg": sideways(reduced(folder / "cairn-13mp.jpg")),
    }


def drawings() -> dict[str, bytes]:
    """Everything drawn, by file name."""
    return {
        "logo.png": png(drawn(LOGO)),
        "watermark.png": png(drawn(WATERMARK)),
        "screenshot.png": png(drawn(screenshot())[:3]),
        "wide-gamut.png": wide_gamut(),
        "spinner.gif": spinner(),
        "lighthouse.svg": LIGHTHOUSE.encode(),
    }


def reduced(path: Path) -> pyvips.Image:
    return pyvips.Image.thumbnail(str(path), LONGEST, height=LONGEST, output_profile="srgb")


def jpeg(image: pyvips.Image) -> bytes:
    return image.jpegsave_buffer(Q=QUALITY, optimize_coding=True, keep="none")


def png(image: pyvips.Image) -> bytes:
    return image.pngsave_buffer(compression=9, keep="none")


def drawn(svg: str) -> pyvips.Image:
    return pyvips.Image.svgload_buffer(svg.encode()).copy_memory()


def sideways(upright: pyvips.Image) -> bytes:
    """The picture as a phone stores it: pixels on their side, a tag that says so, nothing else."""
    pixels = upright.copy_memory().rot270()
    bare = pyvips.Image.new_from_memory(
        pixels.write_to_memory(), pixels.width, pixels.height, pixels.bands, "uchar"
    ).copy(interpretation="srgb")
    bare.set_type(pyvips.GValue.gint_type, "orientation", EXIF_ROTATE_TO_THE_RIGHT)
    return bare.jpegsave_buffer(Q=QUALITY, optimize_coding=True, keep="exif")


def wide_gamut() -> bytes:
    """Fields of Display P3 primaries, each with a disc of the nearest sRGB colour.

    The discs are visible on a wide-gamut screen and after a correct conversion they vanish;
    a server that drops the profile without converting leaves dull fields with visible discs.
    """
    fields = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255), (0, 255, 255))
    side = 320
    x = pyvips.Image.xyz(side, side) - side / 2
    disc = ((x[0] ** 2 + x[1] ** 2) ** 0.5 < side / 3).ifthenelse(255, 0)
    tiles = []
    for colour in fields:
        field = (pyvips.Image.black(side, side, bands=3) + colour).cast("uchar")
        field = field.copy(interpretation="srgb")
        nearest = field.icc_transform("p3", input_profile="srgb", intent="relative")
        tiles.append(disc.ifthenelse(nearest, field))
    picture = pyvips.Image.arrayjoin(tiles, across=3).copy(interpretation="srgb")
    picture.set_type(pyvips.GValue.blob_type, "icc-profile-data", pyvips.Image.profile_load("p3"))
    return picture.pngsave_buffer(compression=9, keep="icc")


def spinner() -> bytes:
    """An endless GIF of 24 frames: a ring of dots turning, and the number of the frame."""
    count, side = 24, 320
    frames = []
    for frame in range(count):
        dots = []
        for dot in range(12):
            angle = math.tau * dot / 12
            x, y = side / 2 + 118 * math.sin(angle), side / 2 - 118 * math.cos(angle)
            age = (frame / 2 - dot) % 12
            dots.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{24 - age:.1f}" '
                f'fill="hsl({dot * 30}, 70%, {45 + 3.5 * age:.0f}%)"/>'
            )
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{side}" height="{side}">'
            f'<rect width="{side}" height="{side}" fill="#fdfaf3"/>{"".join(dots)}'
            f'<text x="{side / 2}" y="{side / 2 + 24}" font-family="DejaVu Sans" '
            f'font-weight="bold" font-size="68" text-anchor="middle" fill="#26323f">'
            f"{frame + 1}</text></svg>"
        )
        frames.append(drawn(svg)[:3])
    strip = pyvips.Image.arrayjoin(frames, across=1).copy()
    strip.set_type(pyvips.GValue.gint_type, "page-height", side)
    strip.set_type(pyvips.GValue.array_int_type, "delay", [80] * count)
    strip.set_type(pyvips.GValue.gint_type, "loop", 0)
    return strip.gifsave_buffer(dither=0, effort=10, bitdepth=6)


def screenshot() -> str:
    """A made-up application window: sharp text and flat colour, where JPEG artefacts show."""
    sizes = ((320, 240), (640, 480), (1280, 960), (1920, 1080), (2560, 1440), (3840, 2160))
    formats = ("WebP", "AVIF", "JPEG", "PNG", "WebP", "AVIF")
    rows = []
    for row in range(12):
        y = 250 + row * 52
        shade = "#f6f8fa" if row % 2 else "#ffffff"
        width, height = sizes[row % 6]
        kilobytes = 12 + (row * row * 37 + row * 11) % 900
        rows.append(
            f'<rect x="330" y="{y - 34}" width="1230" height="52" fill="{shade}"/>'
            f'<text x="360" y="{y}">catalogue/2024/item-{1041 + row * 17}.jpg</text>'
            f'<text x="830" y="{y}">{width} &#215; {height}</text>'
            f'<text x="1060" y="{y}">{formats[row % 6]}</text>'
            f'<text x="1340" y="{y}" text-anchor="end">{kilobytes} kB</text>'
            f'<rect x="1380" y="{y - 18}" width="{kilobytes / 6:.0f}" height="16" rx="3" '
            f'fill="#2f7ed8"/>'
        )
    dim, bright = "#9fb2c8", "#ffffff"
    places = (("Overview", dim), ("Pictures", bright), ("Presets", dim), ("Origins", dim))
    menu = "".join(
        f'<text x="60" y="{200 + 56 * n}" fill="{colour}">{place}</text>' for n, (place, colour) in enumerate(places)
    )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="1600" height="1000"
 font-family="DejaVu Sans" font-size="22" fill="#24292f">
<rect width="1600" height="1000" fill="#ffffff"/>
<rect width="1600" height="56" fill="#dfe3e8"/>
<circle cx="32" cy="28" r="9" fill="#ff5f57"/><circle cx="62" cy="28" r="9" fill="#febc2e"/>
<circle cx="92" cy="28" r="9" fill="#28c840"/>
<text x="800" y="36" text-anchor="middle" font-size="20" fill="#57606a">Picture library</text>
<rect y="56" width="300" height="944" fill="#1f2d3d"/>
<rect x="30" y="222" width="240" height="48" rx="6" fill="#35506e"/>
<text x="60" y="120" font-size="30" font-weight="bold" fill="#ffffff">Library</text>{menu}
<text x="330" y="120" font-size="34" font-weight="bold">Pictures</text>
<rect x="1330" y="84" width="230" height="48" rx="6" fill="#1a7f37"/>
<text x="1445" y="116" text-anchor="middle" fill="#ffffff">Upload …</text>
<g font-size="18" font-weight="bold" fill="#57606a"><text x="360" y="190">Name</text>
<text x="830" y="190">Size</text><text x="1060" y="190">Format</text>
<text x="1340" y="190" text-anchor="end">Bytes</text></g>
<rect x="330" y="204" width="1230" height="2" fill="#d0d7de"/>{"".join(rows)}
<text x="330" y="930" font-size="13" fill="#57606a">The quick brown fox jumps over the lazy dog ·
 0123456789 · small print that a careless resize makes unreadable ·
 {{}} [] () =&gt; != &amp;&amp;</text>
<text x="330" y="966" font-size="18" font-family="DejaVu Sans Mono" fill="#8250df">GET
 /insecure/rs:fill:320:240/q:75/plain/item-1041.jpg@webp → 200 in 4.1 ms</text>
</svg>"""


LOGO = """<svg xmlns="http://www.w3.org/2000/svg" width="960" height="320" viewBox="0 0 960 320">
<defs><linearGradient id="sea" x1="0" y1="0" x2="1" y2="1">
<stop offset="0" stop-color="#14b8a6"/><stop offset="1" stop-color="#1d4ed8"/></linearGradient>
<mask id="cut"><rect width="960" height="320" fill="#fff"/>
<path d="M20 214 Q60 174 100 214 T180 214 T260 214 T340 214 V236 Q300 276 260 236 T180 236 T100 236
 T20 236 Z" fill="#000"/></mask></defs>
<circle cx="160" cy="160" r="132" fill="url(#sea)" mask="url(#cut)"/>
<path d="M160 58 L238 172 H160 Z" fill="#fff"/>
<path d="M148 84 L148 172 H92 Z" fill="#fff" fill-opacity="0.7"/>
<text x="326" y="176" font-family="DejaVu Sans" font-weight="bold" font-size="118"
 fill="#0f2f4f">Regatta</text>
<text x="332" y="236" font-family="DejaVu Sans" font-size="40" letter-spacing="11"
 fill="#0f2f4f" fill-opacity="0.6">SAIL &amp; SUPPLY</text></svg>"""

WATERMARK = """<svg xmlns="http://www.w3.org/2000/svg" width="480" height="160">
<rect x="6" y="6" width="468" height="148" rx="30" fill="#000" fill-opacity="0.35" stroke="#fff"
 stroke-width="6"/>
<circle cx="82" cy="80" r="40" fill="none" stroke="#fff" stroke-width="12"/>
<circle cx="82" cy="80" r="12" fill="#fff"/>
<text x="146" y="101" font-family="DejaVu Sans" font-weight="bold" font-size="62"
 fill="#fff">SAMPLE</text></svg>"""

LIGHTHOUSE = """<svg xmlns="http://www.w3.org/2000/svg" width="800" height="600"
     viewBox="0 0 800 600">
  <title>A lighthouse at dusk</title>
  <defs>
    <linearGradient id="sky" x1="0" y1="0" x2="0" y2="1">
      <stop offset="0" stop-color="#1b2a5c"/>
      <stop offset="0.6" stop-color="#d9668c"/>
      <stop offset="1" stop-color="#ffc27a"/>
    </linearGradient>
    <linearGradient id="beam" x1="1" y1="0" x2="0" y2="0">
      <stop offset="0" stop-color="#fff6c8" stop-opacity="0.85"/>
      <stop offset="1" stop-color="#fff6c8" stop-opacity="0"/>
    </linearGradient>
  </defs>
  <rect width="800" height="600" fill="url(#sky)"/>
  <circle cx="250" cy="420" r="56" fill="#ffe9b8"/>
  <path d="M545 172 L0 60 V250 Z" fill="url(#beam)"/>
  <rect y="430" width="800" height="170" fill="#23426b"/>
  <g fill="none" stroke="#ffc27a" stroke-opacity="0.7" stroke-width="5" stroke-linecap="round">
    <path d="M190 448 H310 M205 468 H295 M220 488 H280 M232 508 H268"/>
  </g>
  <path d="M400 600 Q420 470 520 452 Q620 430 690 470 Q780 500 800 600 Z" fill="#2f2a35"/>
  <path d="M520 210 H600 L620 460 H500 Z" fill="#fbf7ef"/>
  <path d="M515 270 H605 L609 320 H511 Z M507 370 H613 L617 420 H503 Z" fill="#c8373c"/>
  <rect x="508" y="198" width="104" height="14" rx="4" fill="#2f2a35"/>
  <rect x="528" y="150" width="64" height="48" fill="#fff1ae"/>
  <path d="M528 150 V198 M549 150 V198 M571 150 V198 M592 150 V198" stroke="#2f2a35"
        stroke-width="5"/>
  <path d="M518 150 L560 112 L602 150 Z" fill="#c8373c"/>
  <path d="M548 460 V424 A12 12 0 0 1 572 424 V460 Z" fill="#2f2a35"/>
  <g fill="none" stroke="#1b2a5c" stroke-width="4" stroke-linecap="round">
    <path d="M660 150 q12 -14 24 0 q12 -14 24 0 M700 200 q9 -11 18 0 q9 -11 18 0"/>
  </g>
</svg>
"""


if __name__ == "__main__":
    main()
