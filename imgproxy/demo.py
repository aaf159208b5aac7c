"""A server to try things with: offline, on sample pictures, under a random key. For ``imgproxy demo``."""

from __future__ import annotations

import secrets
import shutil
import socket
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from imgproxy.app import run as run_server
from imgproxy.settings import Settings
from imgproxy.signing import Signer, path_of
from imgproxy.web.playground import Example

if TYPE_CHECKING:
    from collections.abc import Callable

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

EXAMPLES = tuple(Example(f"local:///{name}", options, about) for name, options, about in SHOWCASE)


def run(port: int, say: Callable[[str], object]) -> None:
    """Serve the playground until a signal ends it; ``say`` prints what to open."""
    port = port or _free_port()
    with tempfile.TemporaryDirectory(prefix="imgproxy-demo-", ignore_cleanup_errors=True) as name:
        variables = demo_variables(port, Path(name))
        settings = Settings.read(variables)
        base = f"http://{_HOST}:{port}"
        signer = Signer.of(settings.signing)
        urls = [signer.sign(path_of(each.source, (each.options,))) for each in EXAMPLES]

        def ready() -> None:
            say(f"\nThe playground:  {base}/\n\nSigned URLs:")
            for url, example in zip(urls, EXAMPLES, strict=True):
                say(f"  {base}{url}\n      {example.about}")
            key, salt = settings.signing.key[0].hex(), settings.signing.salt[0].hex()
            say("\nSign your own, in another terminal:")
            say(f"  IMGPROXY_KEY={key} IMGPROXY_SALT={salt} \\")
            say(f"  imgproxy sign local:///koi.jpg rs:fill:300:300 --base {base}\n\nCtrl-C ends it.")

        run_server(settings, examples=EXAMPLES, read=lambda: Settings.read(variables), on_ready=ready)


def demo_variables(port: int, folder: Path) -> dict[str, str]:
    """Variables of a server with a random key, samples, presets, animations, and errors that explain themselves.

    The samples are copied into ``folder``, where there is also room for files that are dropped on the page.
    """
    samples = Path(str(files("imgproxy") / "samples"))
    for sample in samples.iterdir():
        if sample.is_file():
            shutil.copyfile(sample, folder / sample.name)
    return {
        "IMGPROXY_BIND": f"{_HOST}:{port}",
        "IMGPROXY_KEY": secrets.token_hex(32),
        "IMGPROXY_SALT": secrets.token_hex(32),
        "IMGPROXY_PLAYGROUND": "true",
        "IMGPROXY_PLAYGROUND_UPLOAD_DIR": str(folder),
        "IMGPROXY_LOCAL_FILESYSTEM_ROOT": str(folder),
        "IMGPROXY_PRESETS_DIR": str(samples / "presets"),
        "IMGPROXY_WATERMARK_PATH": str(samples / "watermark.png"),
        "IMGPROXY_AUTO_AVIF": "true",
        "IMGPROXY_AUTO_WEBP": "true",
        "IMGPROXY_MAX_ANIMATION_FRAMES": "100",
        "IMGPROXY_DEVELOPMENT_ERRORS_MODE": "true",
        "IMGPROXY_ENABLE_DEBUG_HEADERS": "true",
        "IMGPROXY_DRAIN_DELAY": "0",
    }


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
