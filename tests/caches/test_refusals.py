"""Which errors are remembered, which may be bridged, and for how long."""

from __future__ import annotations

import pytest

from imgproxy import errors
from imgproxy.caches.refusals import Refusals, lasts, may_pass
from imgproxy.errors import BrokenImage, ImageError, SourceRefused

LASTING = {404, 410, 415, 422}


@pytest.mark.parametrize("status", range(400, 600))
def test_an_origins_status(status: int) -> None:
    error = SourceRefused(status)
    assert lasts(error) is (status in LASTING)
    assert may_pass(error) is (status >= 500 or status in {408, 425, 429})


@pytest.mark.parametrize(
    ("error", "remembered", "bridged"),
    [
        (errors.BrokenImage("x"), True, True),
        (errors.UnknownImageType("x"), True, True),
        (errors.SourceTooLarge("x"), True, False),
        (errors.ResultTooLarge("x"), True, False),
        (errors.SourceUnreachable("x"), False, True),
        (errors.SourceTimeout("x"), False, True),
        (errors.SourceIncomplete("x"), False, True),
        (errors.QueueFull("x"), False, True),
        (errors.RenderTimeout("x"), False, True),
        (errors.WorkerLost("x"), False, True),
        (errors.InternalError("x"), False, True),
        (errors.AddressForbidden("x"), False, False),
        (errors.SchemeForbidden("x"), False, False),
        (errors.TooManyRedirects("x"), False, False),
        (errors.BadSignature("x"), False, False),
        (errors.ExpiredUrl("x"), False, False),
    ],
)
def test_the_other_errors(error: ImageError, remembered: bool, bridged: bool) -> None:
    assert (lasts(error), may_pass(error)) == (remembered, bridged)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_for_a_while_and_not_longer() -> None:
    clock = Clock()
    refusals = Refusals(10, clock)
    error = SourceRefused(404)
    refusals.note("a", error, 0)
    assert refusals.find("b") is None
    clock.now += 7.9
    assert str(refusals.find("a")) == str(error)
    clock.now += 4.2
    assert refusals.find("a") is None
    assert len(refusals) == 0


def test_jitter_spreads_them() -> None:
    clock = Clock()
    refusals = Refusals(10, clock)
    for n in range(200):
        refusals.note(str(n), SourceRefused(404), 0)
    clock.now += 10
    left = sum(refusals.find(str(n)) is not None for n in range(200))
    assert 40 < left < 160


def test_a_purge_or_good_news_end_it() -> None:
    refusals = Refusals(10)
    refusals.note("a", BrokenImage("x"), 5)
    assert refusals.find("a", 5)
    assert refusals.find("a", 6) is None
    refusals.note("a", BrokenImage("x"), 6)
    refusals.forget("a")
    refusals.forget("never there")
    assert refusals.find("a") is None


def test_none_are_remembered_when_it_is_switched_off_and_never_too_many() -> None:
    off, on = Refusals(0), Refusals(10)
    off.note("a", BrokenImage("x"), 0)
    assert off.find("a") is None
    for n in range(10_050):
        on.note(str(n), BrokenImage("x"), 0)
    assert len(on) == 10_000


def test_an_error_can_be_raised_again_and_again_without_growing() -> None:
    refusals = Refusals(10)
    refusals.note("a", SourceRefused(404), 0)
    depths = []
    for _ in range(3):
        error = refusals.find("a")
        assert error is not None
        with pytest.raises(SourceRefused) as raised:
            raise error
        depths.append(len(raised.traceback))
    assert len(set(depths)) == 1
