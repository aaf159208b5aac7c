"""Who gets a mezzanine, who makes one, and who waits for it."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack

import pytest

from imgproxy.caches.mezzanines import Mezzanines, may_share
from imgproxy.dialects.imgproxy import Dialect
from imgproxy.model import MEZZANINE_PIXELS, Client, Deadline, Plan, Provenance, Raster, Validators
from imgproxy.planning import Planner, PlanSettings
from imgproxy.signing import path_of
from tests.render.conftest import until

URL = "http://example.com/a.jpg"
TOLD = Provenance(URL, 7_000_000, Validators(etag='"v1"'))
PIXELS = 24e6
RASTER = Raster(3000, 2000, 3)


def plan(*options: str, **settings: object) -> Plan:
    return Planner(PlanSettings.model_validate(settings)).plan(Dialect().read(path_of(URL, options)), Client())


async def render(
    kept: Mezzanines, width: int, made: Raster | None = RASTER, *, told: Provenance = TOLD, pixels: float = PIXELS
) -> str:
    """What a render of this width got of a mezzanine: "nothing", one "to make", or one that is "made"."""
    async with kept.loan(plan(f"w:{width}"), told, pixels, Deadline.after(5)) as loan:
        if loan.mezzanine is None:
            return "nothing"
        if loan.mezzanine.raster is not None:
            assert os.pread(loan.mezzanine.fd, 5, 0) == b"bytes"
            return "made"
        os.pwrite(loan.mezzanine.fd, b"bytes", 0)
        loan.made = made
        return "to make"


async def test_a_first_and_only_size_makes_none() -> None:
    kept = Mezzanines(1 << 26)
    assert await render(kept, 320) == "nothing"
    assert await render(kept, 320) == "nothing", "the same again is no other size"
    assert await render(kept, 480) == "to make"
    assert [await render(kept, width) for width in (320, 768)] == ["made", "made"]
    assert (kept.bytes, kept.entries, dict(kept.found)) == (RASTER.bytes, 1, {"miss": 1, "hit": 2})


async def test_sizes_that_are_wanted_together_share_one() -> None:
    kept = Mezzanines(1 << 26)
    with kept.wanting(URL), kept.wanting(URL):
        assert await render(kept, 320) == "to make"
    assert await render(kept, 480) == "made"
    assert not kept._wanted


async def test_others_wait_until_it_is_made() -> None:
    kept = Mezzanines(1 << 26)
    await render(kept, 100)
    async with AsyncExitStack() as stack:
        loan = await stack.enter_async_context(kept.loan(plan("w:200"), TOLD, PIXELS, Deadline.after(5)))
        others = [asyncio.create_task(render(kept, width)) for width in (300, 400)]
        await until(lambda: all(task.get_stack() for task in others))
        assert loan.mezzanine is not None
        os.pwrite(loan.mezzanine.fd, b"bytes", 0)
        assert not any(task.done() for task in others)
        loan.made = RASTER
    assert await asyncio.gather(*others) == ["made", "made"]


async def test_who_has_no_time_to_wait_goes_on() -> None:
    kept = Mezzanines(1 << 26)
    await render(kept, 100)
    first, late = (kept.loan(plan(f"w:{n}"), TOLD, PIXELS, Deadline.after(n / 1e4)) for n in (50_000, 200))
    async with first, late as loan:
        assert loan.mezzanine is None


async def test_what_came_to_nothing_is_tried_once_more_by_others() -> None:
    kept = Mezzanines(1 << 26)
    await render(kept, 100)
    assert [await render(kept, width, None) for width in (200, 300, 400)] == ["to make", "to make", "nothing"]
    assert kept.entries == kept.bytes == 0


async def test_a_render_that_fails_leaves_the_way_free() -> None:
    kept = Mezzanines(1 << 26)
    await render(kept, 100)
    with pytest.raises(ZeroDivisionError):
        async with kept.loan(plan("w:200"), TOLD, PIXELS, Deadline.after(5)):
            raise ZeroDivisionError
    assert await render(kept, 300) == "to make"


async def test_another_version_is_another_source() -> None:
    kept = Mezzanines(1 << 26)
    await render(kept, 100)
    await render(kept, 200)
    assert await render(kept, 300, told=Provenance(URL, 7_000_000, Validators(etag='"v2"'))) == "nothing"
    assert await render(kept, 300, told=Provenance(URL, 7_000_001, Validators(etag='"v1"'))) == "nothing"
    assert await render(kept, 300) == "made"


@pytest.mark.parametrize(
    ("size", "told", "pixels"),
    [(0, TOLD, PIXELS), (1 << 26, TOLD, 5e6), (1 << 26, Provenance(URL, 7_000_000), PIXELS)],
)
async def test_none_where_it_is_not_worth_one(size: int, told: Provenance, pixels: float) -> None:
    kept = Mezzanines(size)
    assert {await render(kept, width, told=told, pixels=pixels) for width in (1, 2, 3)} == {"nothing"}


async def test_the_oldest_make_room() -> None:
    kept = Mezzanines(2 * RASTER.bytes)
    sources = [Provenance(f"{URL}?{n}", 7_000_000, Validators(etag='"v1"')) for n in range(3)]
    for told in sources:
        await render(kept, 100, told=told)
        await render(kept, 200, told=told)
        await render(kept, 300, told=sources[0])
    assert kept.entries == 2
    assert [await render(kept, 400, told=told) for told in sources[:2]] == ["made", "to make"]
    assert await render(kept, 500, told=sources[2]) == "to make", "it made room for the second"
    kept.shrink()
    assert (kept.entries, kept.bytes) == (1, RASTER.bytes)
    kept.shrink()
    assert (kept.entries, kept.bytes) == (0, 0)


async def test_what_was_seen_is_forgotten_in_the_end() -> None:
    kept = Mezzanines(1 << 26)
    await render(kept, 100)
    for n in range(1_000):
        await render(kept, 100, told=Provenance(f"{URL}?{n}", 7_000_000, Validators(etag='"v1"')))
    assert await render(kept, 200) == "nothing"


async def test_a_process_that_made_one_cannot_change_it_later() -> None:
    """It may be taken over by another source."""
    kept = Mezzanines(1 << 26)
    await render(kept, 100)
    async with kept.loan(plan("w:200"), TOLD, PIXELS, Deadline.after(5)) as loan:
        assert loan.mezzanine is not None
        process = os.dup(loan.mezzanine.fd)
        os.pwrite(process, b"bytes", 0)
        with pytest.raises(PermissionError):
            os.pwrite(process, b"more", 3 * MEZZANINE_PIXELS)
        with pytest.raises(PermissionError):
            os.ftruncate(process, 10)
        loan.made = RASTER
    with pytest.raises(PermissionError):
        os.pwrite(process, b"forged", 0)
    os.close(process)
    assert await render(kept, 300) == "made"


async def test_nothing_is_left_open() -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before = descriptors()
    kept = Mezzanines(1 << 26)
    for width in range(5):
        await render(kept, width)
    assert descriptors() == before + 1
    del kept
    assert descriptors() == before


@pytest.mark.parametrize(
    ("options", "settings", "may"),
    [
        ("rs:fill:300:200/g:no", {}, True),
        ("rs:fit:300:200/qp:fast", {}, True),
        ("rs:fit:300:200/qp:best", {}, False),
        ("rs:fill:300:200/g:sm", {}, False),
        ("c:300:200:sm/w:100", {}, False),
        ("t:10/w:100", {}, False),
        ("ph:1/w:100", {}, False),
        ("sm:0/w:100", {}, False),
        ("eth:1/w:100", {}, False),
        ("w:100", {"disable_shrink_on_load": True}, False),
        ("w:100", {"use_linear_colorspace": True}, False),
    ],
)
def test_which_plans_may_share(options: str, settings: dict[str, object], may: bool) -> None:
    assert may_share(plan(*options.split("/"), **settings)) is may
