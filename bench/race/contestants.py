"""The servers that are compared: how each is started, set up and asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.race import installs
from bench.race.works import QUALITY, Work
from tests.serving import KEY, SALT, signed

CORES = len(os.sched_getaffinity(0))
Target = Callable[[Work, str], str]
"""From a work and the URL of its source to the target of a request."""


@dataclass(frozen=True)
class Contestant:
    """A server, ready to be started."""

    name: str
    title: str
    settings: str
    """What a reader must know to compare."""
    command: tuple[str, ...]
    """``{port}`` and ``{origin}`` are filled in, here and in the environment."""
    target: Target
    ready: str
    """The path that is answered with 200 once it is up."""
    environment: dict[str, str] = field(default_factory=dict)
    formats: tuple[str, ...] = tuple(QUALITY)
    """Those that it is asked for."""
    animates: bool = True


def ours(name: str = "ours", title: str = "this server", settings: str = "defaults", **extra: str) -> Contestant:
    """Our server: its defaults, URLs signed, every request a miss."""
    given = {
        "bind": "127.0.0.1:{port}",
        "key": KEY,
        "salt": SALT,
        "allow_loopback_source_addresses": "1",
        "max_animation_frames": "100",
        "log_format": "json",
        "memory_cache_size": "0",
        "source_cache_size": "0",
        "drain_delay": "0",
    } | extra
    return Contestant(
        name,
        title,
        settings,
        (sys.executable, "-m", "imgproxy"),
        lambda work, url: signed(url, f"rs:fit:{work.side}:{work.side}", f"q:{work.quality}", f"f:{work.format}"),
        "/readyz",
        {f"IMGPROXY_{key.upper()}": value for key, value in given.items()},
    )


def thumbor() -> Contestant:
    """As many processes as cores, no storages; Pillow's WebP effort is 4 and cannot be set."""
    programs = installs.python_program("thumbor", "thumbor")
    conf = installs.CACHE / "thumbor.conf"
    conf.write_text(
        "STORAGE = 'thumbor.storages.no_storage'\n"
        "RESULT_STORAGE = None\n"
        "PROGRESSIVE_JPEG = False\n"
        "AVIF_SPEED = 9\n"
        "RESPECT_ORIENTATION = True\n"
        "ALLOWED_SOURCES = ['127.0.0.1']\n"
        "HTTP_LOADER_FORWARD_USER_AGENT = False\n"
    )
    version = installs.version([str(programs / "thumbor"), "--version"])
    return Contestant(
        "thumbor",
        f"thumbor {version}",
        f"{CORES} processes, baseline JPEG, WebP effort 4, AVIF speed 9",
        (
            str(programs / "thumbor"),
            "--port={port}",
            "--ip=127.0.0.1",
            f"--processes={CORES}",
            f"--conf={conf}",
            "--log-level=warning",
        ),
        thumbor_target,
        "/healthcheck",
    )


def thumbor_target(work: Work, url: str) -> str:
    filters = f"filters:format({work.format}):quality({work.quality})"
    return f"/unsafe/fit-in/{work.side}x{work.side}/{filters}/{url.removeprefix('http://')}"


def ipx() -> Contestant:
    """As many processes as cores, by node's own cluster."""
    folder = installs.ipx()
    script = Path(__file__).with_name("ipx.mjs")
    # Modules are looked for beside the script.
    installed = folder / "server.mjs"
    installed.write_text(script.read_text())
    show = "const v = n => require(n + '/package.json').version; console.log(v('sharp'))"
    sharp = installs.version(["node", "--eval", show.replace("require(", f"require('{folder}/node_modules/' + ")])
    return Contestant(
        "ipx",
        f"IPX 3 / sharp {sharp}",
        f"{CORES} processes, baseline JPEG, WebP effort 4, AVIF speed 9",
        ("node", str(installed)),
        ipx_target,
        "/_/health",
        {"PORT": "{port}", "PROCESSES": str(CORES), "NODE_ENV": "production"},
    )


def ipx_target(work: Work, url: str) -> str:
    moving = ",animated" if work.animated else ""
    return f"/s_{work.side}x{work.side},fit_inside,f_{work.format},q_{work.quality}{moving}/{url}"


def imgproxy() -> Contestant:
    """The Go program of that name."""
    program = installs.on_path("imgproxy")
    if program.read_bytes()[:4] != b"\x7fELF":
        raise installs.Missing(f"{program} is not the Go program")
    return Contestant(
        "imgproxy",
        f"imgproxy {installs.version([str(program), 'version'])}",
        "defaults, WebP effort 4, AVIF speed 9",
        (str(program),),
        lambda work, url: signed(url, f"rs:fit:{work.side}:{work.side}", f"q:{work.quality}", f"f:{work.format}"),
        "/health",
        {
            "IMGPROXY_BIND": "127.0.0.1:{port}",
            "IMGPROXY_KEY": KEY,
            "IMGPROXY_SALT": SALT,
            "IMGPROXY_ALLOW_LOOPBACK_SOURCE_ADDRESSES": "1",
            "IMGPROXY_AVIF_SPEED": "9",
            "IMGPROXY_MAX_ANIMATION_FRAMES": "100",
        },
    )


def oximg(*, build: bool) -> Contestant:
    """Its defaults: linear light, progressive jpegli. Built without AVIF, which needs more libraries."""
    program = installs.oximg(build=build)
    return Contestant(
        "oximg",
        f"oximg {installs.version([str(program), '--version'])}",
        "defaults (linear light, progressive jpegli), WebP effort 4",
        (str(program),),
        lambda work, url: f"/resize/{work.side}/{work.side}/{url.split('/', 3)[3]}@{work.format}",
        "/health",
        {
            "PORT": "{port}",
            "OXIMG_BIND": "127.0.0.1",
            "OXIMG_SOURCE_BASE_URL": "{origin}",
            "QUALITY": str(QUALITY["jpeg"]),
            "OXIMG_WEBP_QUALITY": str(QUALITY["webp"]),
            "OXIMG_WEBP_EFFORT": "4",
        },
        formats=("jpeg", "webp"),
    )


def field_of(*, build_oximg: bool) -> tuple[list[Contestant], dict[str, str]]:
    """Who takes part, and for whom it could not be arranged, with the reason."""
    found = [ours(), ours("ours-e4", "this server, WebP effort 4", "WebP effort 4", webp_effort="4")]
    missing: dict[str, str] = {}
    peers: dict[str, Callable[[], Contestant]] = {
        "thumbor": thumbor,
        "ipx": ipx,
        "imgproxy": imgproxy,
        "oximg": lambda: oximg(build=build_oximg),
    }
    for name, make in peers.items():
        try:
            found.append(make())
        except installs.Missing as reason:
            missing[name] = str(reason)
    return found, missing
