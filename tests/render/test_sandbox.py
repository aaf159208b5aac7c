"""The sandbox from inside: what a taken-over render process cannot do, and that each layer is what refuses it."""

from __future__ import annotations

import logging
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pyvips

from imgproxy.errors import BrokenImage, WorkerLost
from imgproxy.model import Deadline, Job, Report
from imgproxy.render.pool import Pool
from imgproxy.render.process import COMMAND
from imgproxy.render.sandbox import ALL, LAYERS, Sandbox
from tests.render import homesick, outer, sabotage
from tests.render.conftest import ByHand, told, until
from tests.render.forbidden import ACTIONS, REFUSED
from tests.render.rendering import held, plan, render

if TYPE_CHECKING:
    from collections.abc import Generator

    from imgproxy.model import Source

Jobs = Callable[[str], Job]

_ROOT = os.getuid() == 0
_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the actions are system calls by number")
_root = pytest.mark.skipif(not _ROOT, reason="only root has what is given up")
_SINGLE = ("landlock", "seccomp", "user")


@pytest.fixture(scope="module")
def processes() -> Generator[Callable[[frozenset[str]], ByHand]]:
    started: dict[frozenset[str], ByHand] = {}

    def get(layers: frozenset[str]) -> ByHand:
        if layers not in started:
            started[layers] = ByHand(layers)
        return started[layers]

    yield get
    for process in started.values():
        assert process.end() == 0


def outcome(process: ByHand, action: str, source: Source) -> str:
    answer = process.ask(told(f"forbidden:{action}", source))
    assert isinstance(answer, Report), answer
    return answer.rendition.body.decode()


def test_there_are_enough_of_them() -> None:
    assert len(ACTIONS) >= 30
    assert all(action.guards <= ALL for action in ACTIONS.values())


@_x86
@pytest.mark.parametrize("action", ACTIONS)
def test_it_is_refused(processes: Callable[[frozenset[str]], ByHand], source: Source, action: str) -> None:
    assert outcome(processes(ALL), action, source) in REFUSED


@_x86
@_root
@pytest.mark.parametrize("action", ACTIONS)
def test_it_is_possible_without_the_sandbox(
    processes: Callable[[frozenset[str]], ByHand], source: Source, action: str
) -> None:
    """The twin: what fails anyway proves nothing."""
    assert outcome(processes(frozenset()), action, source) not in REFUSED


@_x86
@pytest.mark.parametrize("layer", _SINGLE)
def test_each_layer_stands_alone(processes: Callable[[frozenset[str]], ByHand], source: Source, layer: str) -> None:
    if layer == "user" and not _ROOT:
        pytest.skip("there is no user to change to")
    process = processes(frozenset({layer}))
    refused = {name for name in ACTIONS if outcome(process, name, source) in REFUSED}
    assert {name for name, action in ACTIONS.items() if layer in action.guards} <= refused


def test_what_holds_is_said(processes: Callable[[frozenset[str]], ByHand]) -> None:
    assert processes(ALL).sandbox == Sandbox(ALL)
    assert Sandbox(ALL).level == "full"
    assert str(Sandbox(ALL - {"landlock", "seccomp"})) == "partial, without landlock, seccomp"
    assert processes(frozenset({"landlock"})).sandbox == Sandbox(frozenset({"landlock"}))
    assert Sandbox(frozenset()).level == "none"
    assert Sandbox(frozenset()).missing == LAYERS


def test_the_kernel_says_the_same(processes: Callable[[frozenset[str]], ByHand]) -> None:
    pid = processes(ALL).process.pid
    for status in Path(f"/proc/{pid}/task").glob("*/status"):  # every thread: a filter may be one thread's alone
        fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        assert fields["Seccomp"] == "2"
        assert fields["NoNewPrivs"] == "1"
        assert {fields[name] for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {"0" * 16}
        assert 0 not in map(int, fields["Uid"].split())
        assert not (_ROOT and fields["Groups"].strip())
    assert Path(f"/proc/{pid}/mem").stat().st_uid == 0  # root's, because the process is not dumpable


@_root
def test_two_processes_are_two_users(processes: Callable[[frozenset[str]], ByHand]) -> None:
    other = ByHand()
    uids = {
        Path(f"/proc/{process.process.pid}/status").read_text().split("Uid:\t")[1].split("\t")[0]
        for process in (processes(ALL), other)
    }
    assert len(uids) == 2
    assert other.end() == 0


@_root
def test_it_holds_for_a_server_that_is_not_root() -> None:
    """It starts with a capability, without which it could not read this checkout; also that must be gone."""
    keep = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
    process = ByHand(prefix=("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *keep, "--"))
    assert process.sandbox == Sandbox(ALL)
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    assert "CapEff:\t0000000000000000" in status
    assert "CapAmb:\t0000000000000000" in status
    assert process.end() == 0


@_root
def test_root_stays_where_it_could_not_be_killed_otherwise() -> None:
    """In a container without CAP_KILL, root may not signal other users: no deadline would hold."""
    process = ByHand(prefix=("setpriv", "--bounding-set", "-kill", "--inh-caps", "-kill", "--"))
    assert process.sandbox.missing == ("user",)
    assert process.end() == 0


@_x86
@pytest.mark.parametrize(
    ("calls", "missing"),
    [(outer.LANDLOCK, ("landlock",)), (outer.SECCOMP, ("seccomp",)), (outer.BOTH, ("landlock", "seccomp"))],
)
async def test_what_an_outer_policy_denies_is_missed_and_said(
    calls: tuple[int, ...], missing: tuple[str, ...], caplog: pytest.LogCaptureFixture, job: Jobs
) -> None:
    command = (sys.executable, outer.__file__, ",".join(map(str, calls)), *sabotage.COMMAND)
    pool = Pool(1, command=command)
    with caplog.at_level(logging.WARNING, "imgproxy.render"):
        await pool.start()
    assert pool.sandbox.missing == missing
    assert pool.sandbox.level == "partial"
    assert f"without {', '.join(missing)}" in caplog.text
    assert isinstance(await pool.render(job("render"), Deadline.after(5)), Report)
    await pool.aclose()
    strict = Pool(1, command=command, require_sandbox=True)
    with pytest.raises(WorkerLost, match=rf"without {', '.join(missing)}, and it is required"):
        await strict.start()
    assert strict.pids == ()


async def test_a_sandbox_that_breaks_renders_is_lowered_and_said(caplog: pytest.LogCaptureFixture, job: Jobs) -> None:
    """Instead of a restart in a loop: as much of it as a render can live in."""
    pool = Pool(1, command=homesick.COMMAND)
    with caplog.at_level(logging.WARNING, "imgproxy.render"):
        await pool.start()
    assert pool.sandbox.missing == ("seccomp",)
    assert "no render process came up with a sandbox of landlock, limits, privileges, seccomp, user" in caplog.text
    assert "SIGABRT" in caplog.text
    with pytest.raises(WorkerLost):
        await pool.render(job("signal:SIGSEGV"), Deadline.after(5))
    await until(lambda: len(pool.pids) == 2 and pool.restarts["crashed"] == 3)
    assert pool.sandbox.missing == ("seccomp",)  # the new one as well, without a trial
    await pool.aclose()
    strict = Pool(1, command=homesick.COMMAND, require_sandbox=True)
    with pytest.raises(WorkerLost, match="SIGABRT"):
        await strict.start()


_SVG_TEXT = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40"><rect width="120" height="40" fill="#fff"/>'
    b'<text y="20" font-family="serif">Serif</text><text y="38" font-family="monospace" font-weight="bold">Mono</text>'
    b"</svg>"
)


def picture(suffix: str, **how: Any) -> bytes:
    image = (pyvips.Image.xyz(96, 64) * 2).extract_band(0, n=2).bandjoin(50).cast("uchar").copy(interpretation="srgb")
    return image.write_to_buffer(suffix, **how)


def animation() -> bytes:
    frames = [pyvips.Image.black(40, 30, bands=3).copy(interpretation="srgb") + shade for shade in (10, 100, 200)]
    stack = pyvips.Image.arrayjoin(frames, across=1).cast("uchar").copy()
    stack.set_type(pyvips.GValue.gint_type, "page-height", 30)
    stack.set_type(pyvips.GValue.array_int_type, "delay", [50, 60, 70])
    return stack.write_to_buffer(".gif")


def profiled() -> bytes:
    image = pyvips.Image.new_from_buffer(picture(".png"), "")
    return image.icc_transform("p3", input_profile="srgb").write_to_buffer(".jpg", profile="p3")


_SOURCES: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: picture(".jpg"),
    "PNG": lambda: picture(".png"),
    "interlaced PNG": lambda: picture(".png", interlace=True),
    "WebP": lambda: picture(".webp"),
    "AVIF": lambda: picture(".avif"),
    "TIFF": lambda: picture(".tiff", compression="lzw"),
    "GIF": animation,
    "SVG with text": lambda: _SVG_TEXT,
    "SVG in Russian": lambda: b'<?xml version="1.0" encoding="koi8-r"?>' + _SVG_TEXT.replace(b"Mono", b"\xed"),
    "a profile": profiled,
}


@pytest.fixture(scope="module")
def worker() -> Generator[ByHand]:
    process = ByHand(command=COMMAND)
    assert process.sandbox == Sandbox(ALL)
    yield process
    assert process.end() == 0


@pytest.mark.parametrize("format_", ["jpg", "png", "webp", "avif", "gif", "tiff"])
@pytest.mark.parametrize("name", _SOURCES)
def test_a_render_lacks_nothing_inside(worker: ByHand, name: str, format_: str) -> None:
    """To the byte what a process without a sandbox makes."""
    body = _SOURCES[name]()
    options = f"rs:fill:30:30/g:sm/bl:0.5/f:{format_}"
    inside = held(body)
    answer = worker.ask(Job(plan(options), inside))
    inside.close()
    assert isinstance(answer, Report), answer
    assert answer.rendition == render(body, options)


@pytest.mark.parametrize("encoding", ["windows-1252", "iso-8859-15", "windows-1251", "koi8-u", "utf-8"])
def test_svg_is_sanitised_inside(worker: ByHand, encoding: str) -> None:
    body = f'<?xml version="1.0" encoding="{encoding}"?>'.encode() + _SVG_TEXT.replace(b"Serif", b"a<script/>")
    inside = held(body)
    answer = worker.ask(Job(plan(""), inside))
    inside.close()
    assert isinstance(answer, Report), answer
    assert b">a</text>" in answer.rendition.body
    assert b"script" not in answer.rendition.body


@pytest.mark.parametrize("encoding", ["shift_jis", "IBM037", "UTF-7", "nonsense"])
def test_an_encoding_that_cannot_be_looked_up_inside_is_refused(worker: ByHand, encoding: str) -> None:
    inside = held(f'<?xml version="1.0" encoding="{encoding}"?>'.encode() + _SVG_TEXT)
    answer = worker.ask(Job(plan(""), inside))
    inside.close()
    assert isinstance(answer, BrokenImage)


_SERVER = """
import asyncio
from imgproxy.render.pool import Pool
from imgproxy.settings import Settings

async def main():
    settings = Settings.read()
    pool = Pool(1)
    await pool.start()
    print(*pool.pids, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@_root
def test_no_key_is_in_its_memory() -> None:
    key, salt, token = (os.urandom(24) for _ in range(3))
    environment = os.environ | {
        "IMGPROXY_KEY": key.hex(),
        "IMGPROXY_SALT": salt.hex(),
        "IMGPROXY_SECRET": token.hex(),
        "AWS_SECRET_ACCESS_KEY": token.hex(),
    }
    with subprocess.Popen([sys.executable, "-c", _SERVER], env=environment, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            workers = [int(pid) for pid in server.stdout.readline().split()]
            secrets = [form for secret in (key, salt, token) for form in (secret, secret.hex().encode())]
            assert {secret in memory(server.pid) for secret in secrets[1::2]} == {
                True
            }  # the search finds what is there
            assert len(workers) == 2
            for pid in workers:
                found = memory(pid)
                assert len(found) > 10e6
                assert not [secret for secret in secrets if secret in found]
        finally:
            server.kill()


def memory(pid: int) -> bytes:
    """All that a process has in memory, but not what is mapped from files."""
    parts: list[bytes] = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:  # noqa: PTH123
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, access, _, _, inode, *name = line.split()
            if access.startswith("rw") and (inode == "0" or name):
                start, end = (int(number, 16) for number in span.split("-"))
                file.seek(start)
                with suppress(OSError):
                    parts.append(file.read(end - start))
    return b"\0".join(parts)
