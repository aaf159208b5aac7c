"""A server to try things with: offline, on sample pictures, under a random key. For ``imgproxy demo``."""

from __future__ import annotations

import html
import secrets
import socket
from importlib.resources import files
from typing import TYPE_CHECKING

from imgproxy.app import run as run_server
from imgproxy.settings import Settings
from imgproxy.signing import Signer, path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_HOST = "127.0.0.1"
_USUAL_PORT = 8080

SHOWCASE: tuple[tuple[str, str, str], ...] = (
    ("koi.jpg", "rs:fill:480:320", "a photograph, fitted into a box and cropped"),
    ("koi.jpg", "rs:fill:480:320/g:sm/f:avif", "the interesting part, as AVIF"),
    ("tomatoes.jpg", "rs:fit:480:320/ex:1/bg:f4efe6/f:webp", "on a canvas, as WebP"),
    ("leaf.jpg", "rs:fill:480:320/g:fp:0.6:0.4/sh:0.5", "a focus point, sharpened"),
    ("car.jpg", "rs:fit:480:320/exar:1/bg:202020", "a panorama on the box's ratio"),
    ("sideways.jpg", "rs:fit:480:320", "stored sideways, shown upright"),
    ("koi.jpg", "rs:fill:480:320/pix:16", "pixelated"),
    ("leaf.jpg", "rs:fill:480:320/bl:6/wm:1:soea:16:16:0.3", "blurred, with a watermark"),
    ("logo.png", "rs:fit:440:280/pd:20/bg:ffd166", "transparency on a colour, padded"),
    ("screenshot.png", "c:0.5:0.5:nowe/rs:fit:480:320/f:png", "a quarter of a screenshot"),
    ("spinner.gif", "rs:fit:240:240/f:webp", "an animation, as WebP"),
    ("lighthouse.svg", "rs:fit:480:320/f:png", "a drawing, as pixels"),
    ("wide-gamut.png", "rs:fit:480:320/f:jpg", "Display P3, converted to sRGB"),
    ("tomatoes.jpg", "rs:fit:320:320/rot:90/fl:1/q:60", "turned and mirrored"),
)
"""Sample, options and what they show."""


def run(port: int, say: Callable[[str], object]) -> None:
    """Serve the samples until a signal ends it; ``say`` prints what to open."""
    port = port or _free_port()
    settings = demo_settings(port)
    base = f"http://{_HOST}:{port}"
    urls = [Signer.of(settings.signing).sign(path_of(f"local:///{name}", (options,))) for name, options, _ in SHOWCASE]

    def ready() -> None:
        say(f"\nThe gallery:  {base}/\n\nSigned URLs:")
        for url, (_, _, about) in zip(urls, SHOWCASE, strict=True):
            say(f"  {base}{url}\n      {about}")
        key, salt = settings.signing.key[0].hex(), settings.signing.salt[0].hex()
        say("\nSign your own, in another terminal:")
        say(f"  IMGPROXY_KEY={key} IMGPROXY_SALT={salt} \\")
        say(f"  imgproxy sign local:///koi.jpg rs:fill:300:300 --base {base}\n\nCtrl-C ends it.")

    run_server(settings, landing=gallery(urls), on_ready=ready)


def demo_settings(port: int) -> Settings:
    """Defaults, but for a random key, sample pictures, animations, and errors that explain themselves."""
    samples = files("imgproxy") / "samples"
    return Settings.read(
        {
            "IMGPROXY_BIND": f"{_HOST}:{port}",
            "IMGPROXY_KEY": secrets.token_hex(32),
            "IMGPROXY_SALT": secrets.token_hex(32),
            "IMGPROXY_LOCAL_FILESYSTEM_ROOT": str(samples),
            "IMGPROXY_WATERMARK_PATH": str(samples / "watermark.png"),
            "IMGPROXY_MAX_ANIMATION_FRAMES": "100",
            "IMGPROXY_DEVELOPMENT_ERRORS_MODE": "true",
            "IMGPROXY_DRAIN_DELAY": "0",
        }
    )


def gallery(urls: Sequence[str]) -> str:
    """The landing page of the demo: every picture with the options that made it."""
    figures = "\n".join(
        f'<figure><a href="{html.escape(url)}"><img src="{html.escape(url)}" alt="{html.escape(about)}"'
        f' loading="lazy"></a><figcaption>{html.escape(about)}<code>{html.escape(options)}</code></figcaption></figure>'
        for url, (_, options, about) in zip(urls, SHOWCASE, strict=True)
    )
    return _PAGE.replace("{figures}", figures)


def _free_port() -> int:
    for port in (_USUAL_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise OSError("there is no free port")


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>imgproxy-server demo</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
  h1 { font-weight: 600; margin-bottom: 0; }
  main { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); }
  figure { margin: 0; }
  img { background: #8883; border-radius: 6px; display: block; height: 13rem; object-fit: contain; width: 100%; }
  figcaption { font-size: .9rem; margin-top: .4rem; }
  code { display: block; opacity: .7; overflow-wrap: anywhere; }
</style>
<h1>It works</h1>
<p>Each picture was made just now, by the options below it. Click one, and change its options in the address bar:
the answer tells what is wrong with the signature.</p>
<main>
{figures}
</main>
</html>
"""
