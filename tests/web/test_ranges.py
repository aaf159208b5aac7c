from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imgproxy.formats import JPEG
from imgproxy.freshness import FreshnessSettings
from imgproxy.journey import Journey
from imgproxy.model import Conditions, Rendition, Reply, Validators
from imgproxy.web.ranges import part
from imgproxy.web.responses import Responses
from imgproxy.web.settings import WebSettings
from tests.web.border import plan

NONE = range(0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-0", range(1)),
        ("bytes=2-4", range(2, 5)),
        ("bytes=2-99", range(2, 10)),
        ("bytes=2-", range(2, 10)),
        ("bytes=-3", range(7, 10)),
        ("bytes=-99", range(10)),
        ("BYTES=9-9", range(9, 10)),
        (" bytes = 2-4 ", range(2, 5)),
        ("bytes=,2-4,", range(2, 5)),
        ("bytes=002-0000000000000000000000004", range(2, 5)),
        ("bytes=0-" + "9" * 9000, range(10)),
        # nothing there
        ("bytes=10-", NONE),
        ("bytes=10-20", NONE),
        ("bytes=-0", NONE),
        ("bytes=" + "9" * 9000 + "-", NONE),
        # not readable, or several: the whole
        ("bytes=4-2", None),
        ("bytes=0-1,4-5", None),
        ("bytes=0-1,x", None),
        ("bytes=-", None),
        ("bytes=", None),
        ("bytes", None),
        ("", None),
        ("items=0-1", None),
        ("bytes=a-b", None),
        ("bytes=+1-2", None),
        ("bytes=1 - 2", None),
        ("bytes=--2", None),
        ("bytes=1-2-3", None),
        ("bytes=1", None),
        ("bytes=٢-٣", None),
    ],
)
def test_ranges_of_ten_bytes(value: str, expected: range | None) -> None:
    found = part(Conditions(range=value), 10, Validators())
    assert found == expected
    assert (found is None) is (expected is None)


def test_an_empty_image_has_no_parts() -> None:
    assert part(Conditions(range="bytes=0-"), 0, Validators()) is None
    assert part(Conditions(range="bytes=-1"), 0, Validators()) is None


DATE = "Sat, 01 Jan 2000 00:00:00 GMT"


@pytest.mark.parametrize(
    ("if_range", "validators", "current"),
    [
        (None, Validators(), True),
        ('"e"', Validators('"e"'), True),
        (' "e" ', Validators('"e"'), True),
        ('"e"', Validators('"f"', DATE), False),
        ('"e"', Validators(), False),
        ('"e"', Validators('W/"e"'), False),
        ('W/"e"', Validators('W/"e"'), False),
        ('W/"e"', Validators('"e"', 'W/"e"'), False),
        ('"e", "f"', Validators('"e"'), False),
        (DATE, Validators('"e"', DATE), True),
        (DATE, Validators('"e"'), False),
        ("Sun, 02 Jan 2000 00:00:00 GMT", Validators('"e"', DATE), False),
        ("*", Validators('"e"', DATE), False),
        ("", Validators('"e"', DATE), False),
    ],
)
def test_if_range(if_range: str | None, validators: Validators, current: bool) -> None:
    assert (part(Conditions(range="bytes=0-1", if_range=if_range), 10, validators) is not None) is current


RESPONSES = Responses(WebSettings(), FreshnessSettings())
SPECS = st.tuples(st.none() | st.integers(0, 60), st.none() | st.integers(0, 60))


def answered(body: bytes, value: str) -> tuple[int, bytes, str]:
    reply = Reply(Rendition(body, JPEG, 1, 1, 1, 1), plan(), 1)
    answer = RESPONSES.reply(reply, Journey("a"), Conditions(range=value))
    assert isinstance(answer.body, bytes)
    headers = dict(answer.headers)
    assert int(headers[b"content-length"]) == len(answer.body)
    return answer.status, answer.body, headers.get(b"content-range", b"").decode()


@given(st.binary(max_size=50), SPECS)
def test_a_part_is_the_slice_that_it_says(body: bytes, spec: tuple[int | None, int | None]) -> None:
    first, last = ("" if each is None else str(each) for each in spec)
    status, sent, said = answered(body, f"bytes={first}-{last}")
    if status == 206:
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", said)
        assert found
        start, end, size = map(int, found.groups())
        assert (sent, size) == (body[start : end + 1], len(body))
        assert sent
        if first:
            assert start == int(first)
            assert end == min(int(last) if last else size, size - 1)
        else:
            assert (end, len(sent)) == (size - 1, min(int(last), size))
    elif status == 416:
        assert (sent, said) == (b"", f"bytes */{len(body)}")
        assert int(first) >= len(body) if first else int(last) == 0
    else:
        assert (status, sent, said) == (200, body, "")


@given(st.binary(min_size=1, max_size=200), st.integers(1, 50))
def test_parts_add_up_to_the_whole(body: bytes, step: int) -> None:
    parts = [answered(body, f"bytes={start}-{start + step - 1}") for start in range(0, len(body), step)]
    assert {status for status, _, _ in parts} == {206}
    assert b"".join(sent for _, sent, _ in parts) == body
    assert answered(body, f"bytes={len(body)}-")[0] == 416


@given(st.text() | st.text("bytes=0123456789-, ").map("bytes=".__add__), st.binary(max_size=50))
@example("bytes=-0", b"")
def test_whatever_is_asked_for_the_answer_is_the_whole_a_part_or_none(value: str, body: bytes) -> None:
    status, sent, _ = answered(body, value)
    assert status in {200, 206, 416}
    assert sent in body


@pytest.mark.parametrize(
    "value",
    [
        "bytes=" + ",".join(f"{n}-{n}" for n in range(100_000)),
        "bytes=" + "," * 600_000,
        "bytes=" + "0" * 600_000 + "-",
        "bytes=" + "0-," * 200_000 + "x",
        "bytes=-" + "9" * 600_000,
    ],
    ids=["many", "none", "zeros", "open", "digits"],
)
def test_a_monstrous_range_is_one_quick_answer(value: str) -> None:
    start = time.perf_counter()
    assert answered(b"picture", value)[0] in {200, 206}
    assert time.perf_counter() - start < 1  # 10 ms; what looks at each pair of ranges takes minutes
