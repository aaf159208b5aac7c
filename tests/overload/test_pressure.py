from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.overload import pressure
from imgproxy.overload.pressure import Groups, Level, Pressure, next_level

V1_NONE = str(2**63 - 4096)


@pytest.mark.parametrize(
    ("level", "fraction", "following"),
    [
        (Level.CALM, 0.0, Level.CALM),
        (Level.CALM, 0.849, Level.CALM),
        (Level.CALM, 0.85, Level.TIGHT),
        (Level.CALM, 0.95, Level.CRITICAL),
        (Level.TIGHT, 0.80, Level.TIGHT),
        (Level.TIGHT, 0.799, Level.CALM),
        (Level.TIGHT, 0.949, Level.TIGHT),
        (Level.TIGHT, 0.95, Level.CRITICAL),
        (Level.CRITICAL, 0.90, Level.CRITICAL),
        (Level.CRITICAL, 0.899, Level.TIGHT),
        (Level.CRITICAL, 0.5, Level.CALM),
        (Level.CALM, 1.2, Level.CRITICAL),
    ],
)
def test_levels(level: Level, fraction: float, following: Level) -> None:
    assert next_level(level, fraction) is following


@given(st.sampled_from(Level), st.floats(0, 2))
def test_a_level_is_where_it_stays(level: Level, fraction: float) -> None:
    following = next_level(level, fraction)
    assert next_level(following, fraction) is following


class Node:
    """A pressure whose usage and clock are set by hand."""

    def __init__(self) -> None:
        self.used: float | None = 0.0
        self.now = 0.0
        self.shrunk = 0
        self.pressure = Pressure(lambda: self.used, [self.shrink], lambda: self.now)

    def shrink(self) -> None:
        self.shrunk += 1

    def at(self, used: float | None) -> Pressure:
        self.used = used
        self.pressure.look()
        return self.pressure


def test_caches_give_back_before_requests_are_refused() -> None:
    node = Node()
    assert not node.at(0.5).shedding
    assert node.shrunk == 0
    assert not node.at(0.86).shedding
    assert node.shrunk == 1
    assert node.at(0.96).shedding
    assert node.shrunk == 2
    assert node.at(0.91).shedding
    assert not node.at(0.89).shedding
    assert node.shrunk == 2
    assert node.at(0.5).level is Level.CALM


def test_caches_are_asked_again_only_after_a_while() -> None:
    node = Node()
    for _ in range(10):
        node.at(0.86)
    assert node.shrunk == 1
    node.now += pressure.AGAIN_S
    node.at(0.86)
    assert node.shrunk == node.pressure.shrinks == 2


def test_a_limit_that_is_gone_is_no_pressure() -> None:
    node = Node()
    node.at(0.99)
    assert node.at(None).level is Level.CALM


async def test_without_a_limit_nobody_watches() -> None:
    node = Node()
    node.used = None
    await asyncio.wait_for(node.pressure.watch(), 1)


async def test_near_the_limit_it_looks_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    node, slept = Node(), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        node.used = 0.82
        if len(slept) == 2:
            raise asyncio.CancelledError

    monkeypatch.setattr(pressure.asyncio, "sleep", sleep)
    with contextlib.suppress(asyncio.CancelledError):
        await node.pressure.watch()
    assert slept == [pressure.FAR_S, pressure.NEAR_S]


def group(folder: Path, limit: str, used: int, inactive: int = 0, *, v1: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ("memory.limit_in_bytes" if v1 else "memory.max")).write_text(f"{limit}\n")
    (folder / ("memory.usage_in_bytes" if v1 else "memory.current")).write_text(f"{used}\n")
    stat = f"cache 7\n{'total_' if v1 else ''}inactive_file {inactive}\n"
    # In v1 the line without "total_" leaves the groups inside out.
    (folder / "memory.stat").write_text(("inactive_file 0\n" if v1 else "") + stat)


def own(tmp_path: Path, *lines: str) -> Groups:
    (tmp_path / "told").write_text("".join(f"{line}\n" for line in lines))
    return Groups.own(tmp_path / "fs", tmp_path / "told")


def test_the_fullest_group_on_the_way_counts(tmp_path: Path) -> None:
    group(tmp_path / "fs/pod/box", "max", 100)
    group(tmp_path / "fs/pod", "1000", 900)
    assert own(tmp_path, "0::/pod/box").used() == pytest.approx(0.9)
    group(tmp_path / "fs/pod/box", "100", 99)
    assert own(tmp_path, "0::/pod/box").used() == pytest.approx(0.99)


def test_pages_that_can_be_dropped_do_not_count(tmp_path: Path) -> None:
    group(tmp_path / "fs/box", "1000", 900, inactive=500)
    assert own(tmp_path, "0::/box").used() == pytest.approx(0.4)
    group(tmp_path / "fs/memory/box", "1000", 900, inactive=300, v1=True)
    assert own(tmp_path, "7:cpu,memory:/box").used() == pytest.approx(0.6)


def test_a_container_that_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    group(tmp_path / "fs", "1000", 500)
    assert own(tmp_path, "0::/").used() == pytest.approx(0.5)
    assert own(tmp_path, "0::/docker/of/the/host").used() == pytest.approx(0.5)
    assert own(tmp_path, "0::/../../elsewhere").used() == pytest.approx(0.5)


def test_v1_beside_an_empty_v2(tmp_path: Path) -> None:
    (tmp_path / "fs/unified").mkdir(parents=True)
    group(tmp_path / "fs/memory", V1_NONE, 10**9, v1=True)
    group(tmp_path / "fs/memory/box", "1000", 700, v1=True)
    assert own(tmp_path, "4:memory:/box", "0::/").used() == pytest.approx(0.7)


@pytest.mark.parametrize(("limit", "v1"), [("max", False), (V1_NONE, True), ("garbage", False), ("", False)])
def test_no_limit(tmp_path: Path, limit: str, v1: bool) -> None:
    group(tmp_path / ("fs/memory/box" if v1 else "fs/box"), limit, 500, v1=v1)
    assert own(tmp_path, "4:memory:/box" if v1 else "0::/box").used() is None


def test_no_cgroups(tmp_path: Path) -> None:
    assert Groups.own(tmp_path, tmp_path / "told").used() is None
    assert own(tmp_path, "", "0", "nonsense:", "0::/box").groups == ()


# The process enters the group itself, says what it sees, and again once it has filled four fifths of it.
INSIDE = """
import os, sys
from pathlib import Path
from imgproxy.overload.pressure import Groups
Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
own = Groups.own()
print(own.used())
ballast = b"x" * (80 << 20)
print(own.used())
"""


def test_a_real_cgroup() -> None:
    mine = next(iter(Groups.own().groups), None)
    if mine is None:
        pytest.skip("there is no memory controller here")
    folder = mine.folder / "imgproxy-test"
    try:
        folder.mkdir()
        (folder / mine.names.limit).write_text(str(100 << 20))
    except OSError as reason:
        if folder.is_dir():
            folder.rmdir()
        pytest.skip(f"cgroups cannot be made here: {reason}")
    try:
        said = subprocess.run(
            [sys.executable, "-c", INSIDE, str(folder)],
            capture_output=True,
            text=True,
            timeout=20,
            cwd=Path(__file__).parents[2],
        )
        assert said.returncode == 0, said.stderr
        before, after = map(float, said.stdout.split())
        assert before < 0.5
        assert 0.79 < after <= 1
        assert next_level(Level.CALM, after + 0.06) is not Level.CALM
    finally:
        folder.rmdir()
