"""What targets were found to ask for, remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgproxy.dialects.imgproxy import Dialect
from imgproxy.errors import BadSignature, ExpiredUrl
from imgproxy.formats import FormatRule
from imgproxy.journey import Journey
from imgproxy.model import Client, Conditions, Deadline, Plan, Reply, SourceRef
from imgproxy.options import Options
from imgproxy.planning import Planner
from imgproxy.readings import Reading, Readings, Rules
from imgproxy.service import Pending
from imgproxy.signing import Signer, SigningSettings
from imgproxy.tokens import Tokens
from tests.remembering import Remembering, remembering

if TYPE_CHECKING:
    from imgproxy.model import Unchanged

URL = "http://example.com/a.jpg"
RULES = Rules(Signer(), Planner(), Tokens())


def reading(url: str = URL) -> Reading:
    return Reading.of(Plan(SourceRef(url), Options(), FormatRule()))


def signer(key: str) -> Signer:
    return Signer.of(SigningSettings.model_validate({"key": key * 32, "salt": "bb" * 32}))


def begin(node: Remembering, target: str, client: Client | None = None) -> Reply | Unchanged | Pending:
    return node.service.begin(target, client or Client(), Conditions(), Deadline.after(5), Journey("id"))


def test_it_finds_what_it_noted_for_the_same_client_under_the_same_rules() -> None:
    readings, known = Readings(), reading()
    readings.note("/a", Client(), RULES, known)
    assert readings.find("/a", Client(), RULES) is known
    assert readings.find("/a", Client(frozenset({"webp"})), RULES) is None
    assert readings.find("/b", Client(), RULES) is None
    assert (
        readings.find("/a", Client(), Rules(RULES.signer, RULES.planner, RULES.tokens)) is None
    )  # equal, but exchanged
    assert len(readings) == 0


def test_it_keeps_the_last_and_no_long_ones() -> None:
    readings = Readings(most=2)
    for target in ("/a", "/b"):
        readings.note(target, Client(), RULES, reading())
    readings.find("/a", Client(), RULES)
    readings.note("/c", Client(), RULES, reading())
    readings.note("/" + "d" * 5000, Client(), RULES, reading())
    assert [readings.find(each, Client(), RULES) is not None for each in ("/a", "/b", "/c")] == [True, False, True]
    assert len(readings) == 2


async def test_a_target_is_verified_and_planned_once_as_long_as_keys_and_presets_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with remembering() as node:
        read: list[str] = []
        before = Dialect.read
        monkeypatch.setattr(Dialect, "read", lambda *a: read.append(a[1]) or before(*a))
        old = signer("aa")
        node.service.rules = Rules(old, Planner(), Tokens())
        target = old.sign(f"/rs:fit:10:10/plain/{URL}")
        first = begin(node, target)
        assert isinstance(first, Pending)
        await node.service.finish(first, Conditions(), Deadline.after(5), Journey("id"))
        read.clear()
        for _ in range(3):
            assert isinstance(begin(node, target), Reply)
        assert len(read) == 1
        node.service.rules = Rules(signer("cc"), Planner(), Tokens())
        with pytest.raises(BadSignature):
            begin(node, target)


async def test_a_url_that_is_remembered_expires_all_the_same() -> None:
    async with remembering() as node:
        target = f"/x/exp:{int(node.clock()) + 10}/plain/{URL}"
        first = begin(node, target)
        assert isinstance(first, Pending)
        await node.service.finish(first, Conditions(), Deadline.after(5), Journey("id"))
        assert isinstance(begin(node, target), Reply)
        node.clock.now += 50
        with pytest.raises(ExpiredUrl):
            begin(node, target)


async def test_what_memory_does_not_have_is_not_remembered() -> None:
    async with remembering() as node:
        for number in range(20):
            assert isinstance(begin(node, f"/x/rs:fit:{number}:9/plain/{URL}"), Pending)
        assert len(node.service.readings) == 0
