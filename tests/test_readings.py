"""What targets were found to ask for, remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgproxy.dialects.imgproxy import Dialect
from imgproxy.errors import BadSignature, ExpiredUrl, OptionForbidden, RequestError, UnknownPreset
from imgproxy.formats import FormatRule
from imgproxy.journey import Journey
from imgproxy.model import Client, Conditions, Deadline, Plan, Reply, SourceRef
from imgproxy.options import Options
from imgproxy.planning import Planner
from imgproxy.presets import Presets
from imgproxy.presets.files import read_files
from imgproxy.readings import Reading, Readings, Rules
from imgproxy.service import Pending
from imgproxy.signing import Signer, SigningSettings
from imgproxy.tokens import Token, Tokens
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


def rules(presets: str, key: str = "aa") -> Rules:
    """With one key and one preset, ``card``, that is told in TOML."""
    known = read_files([("f.toml", f'version = 1\nowner = "o"\n[presets.card]\ndescription = "d"\n{presets}')], ":", [])
    return Rules(signer(key), Planner(presets=Presets.checked(known)), Tokens(signer(key).pairs))


CARD = "resize = { width = 300, height = 200 }\nwidths = [30, 300]\n"
BESIDE = "/pr:card/w:30/plain/" + URL


async def remembered(node: Remembering, expires: int = 0) -> str:
    """A token's URL whose reading and result are remembered."""
    node.service.rules = rules(CARD)
    target = "/" + node.service.rules.tokens.make(Token.of("card", URL, expires)) + BESIDE
    first = begin(node, target)
    assert isinstance(first, Pending)
    await node.service.finish(first, Conditions(), Deadline.after(5), Journey("id"))
    assert isinstance(begin(node, target), Reply)
    assert isinstance(begin(node, target), Reply)
    assert len(node.service.readings) == 1
    return target


async def test_a_token_that_is_remembered_expires_all_the_same() -> None:
    async with remembering() as node:
        end = int(node.clock()) + 10
        target = await remembered(node, end)
        # The signer's clock may differ from ours by half a minute.
        node.clock.now = end + 30
        found = begin(node, target)
        assert isinstance(found, Reply)
        assert found.plan.delivery.expires == end
        node.clock.now = end + 31
        with pytest.raises(ExpiredUrl, match=f"the token in it, expired at {end}"):
            begin(node, target)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        (rules(CARD, "bb"), BadSignature),
        (rules(CARD.replace("30,", "40,")), OptionForbidden),
        (rules(CARD.replace("widths", "allow = ['height'] #")), OptionForbidden),
        (Rules(signer("aa"), Planner(), Tokens(signer("aa").pairs)), UnknownPreset),
    ],
)
async def test_what_changes_for_tokens_changes_at_once(changed: Rules, error: type[RequestError]) -> None:
    async with remembering() as node:
        target = await remembered(node)
        node.service.rules = changed
        for _ in range(2):
            with pytest.raises(error):
                begin(node, target)


async def test_the_key_of_a_token_is_noted_for_rates() -> None:
    async with remembering() as node:
        target = await remembered(node)
        pairs = (signer("cc").pairs[0], signer("aa").pairs[0])
        node.service.rules = Rules(Signer(pairs), node.service.rules.planner, Tokens(pairs))
        journey = Journey("id")
        node.service.begin(target, Client(), Conditions(), Deadline.after(5), journey)
        assert journey.key == 1


async def test_tokens_are_ignored_where_nothing_is_checked() -> None:
    async with remembering() as node:
        await remembered(node)
        planner = node.service.rules.planner
        node.service.rules = Rules(Signer(), planner, Tokens())
        assert isinstance(begin(node, f"/~whatever/w:31/plain/{URL}"), Pending)
        trusting = Signer(signer("aa").pairs, trusted=("~partner",))
        node.service.rules = Rules(trusting, planner, Tokens(trusting.pairs))
        assert isinstance(begin(node, f"/~partner/w:31/plain/{URL}"), Pending)
        with pytest.raises(BadSignature):
            begin(node, f"/~whatever/w:31/plain/{URL}")


async def test_what_memory_does_not_have_is_not_remembered() -> None:
    async with remembering() as node:
        for number in range(20):
            assert isinstance(begin(node, f"/x/rs:fit:{number}:9/plain/{URL}"), Pending)
        assert len(node.service.readings) == 0
