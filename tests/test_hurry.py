"""Who takes AVIF gets a quick WebP while renders wait for each other, and the AVIF is made behind it."""

from __future__ import annotations

import pytest

from imgproxy.errors import Overloaded
from imgproxy.hurry import Hurry
from imgproxy.model import Client, Deadline
from imgproxy.negotiation import NegotiationSettings, Negotiator
from imgproxy.overload.admission import Admission
from imgproxy.planning import Planner
from imgproxy.readings import Rules
from imgproxy.signing import Signer
from imgproxy.tokens import Tokens
from tests.remembering import Remembering, remembering

URL = "http://example.com/a.png"
MODERN = Client(frozenset({"avif", "webp"}))


def negotiating(node: Remembering) -> None:
    negotiator = Negotiator(NegotiationSettings(auto_avif=True, auto_webp=True))
    node.service.rules = Rules(Signer(), Planner(negotiator=negotiator), Tokens())


def backlog(node: Remembering, seconds: float) -> None:
    next(iter(node.admission._lines.values())).backlog += seconds


async def test_the_better_one_is_made_behind_the_quick_one() -> None:
    async with remembering(adaptive=True) as node:
        negotiating(node)
        backlog(node, 0.5)
        quick = await node.image(URL, client=MODERN)
        again = await node.image(URL, client=MODERN)
        assert quick.found.degraded
        assert again.found.degraded
        assert again.found.tier == "memory"
        assert quick.validators.etag is None
        assert node.copier.rendered == 1, "nothing is made behind it while renders wait"
        backlog(node, -0.5)
        await node.settle()
        assert node.copier.rendered == 2
        better = await node.image(URL, client=MODERN)
    assert not better.found.degraded
    assert (better.found.tier, better.validators.etag is None) == ("memory", False)
    assert better.rendition != quick.rendition


@pytest.mark.parametrize("client", [Client(), Client(frozenset({"webp"})), Client(frozenset({"avif"}))])
async def test_others_get_what_they_ask_for(client: Client) -> None:
    async with remembering(adaptive=True) as node:
        negotiating(node)
        backlog(node, 0.5)
        assert not (await node.image(URL, client=client)).found.degraded
        assert not (await node.image(URL, "f:avif", client=MODERN)).found.degraded


async def test_with_time_there_is_no_hurry() -> None:
    async with remembering(adaptive=True) as node:
        negotiating(node)
        assert not (await node.image(URL, client=MODERN)).found.degraded
        await node.settle()
        assert node.copier.rendered == 1


async def test_it_is_off_by_default() -> None:
    async with remembering() as node:
        negotiating(node)
        backlog(node, 0.5)
        assert not (await node.image(URL, client=MODERN)).found.degraded
    assert not Hurry(Admission(1, 0))


async def test_where_the_hurry_does_not_end_nothing_better_is_made() -> None:
    admission = Admission(1, 0, shedding=lambda: True)
    with pytest.raises(Overloaded):
        await Hurry(admission, adaptive=True).over(Deadline.after(0))
