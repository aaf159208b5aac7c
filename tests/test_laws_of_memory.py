"""The laws of what is remembered, whatever happens in whatever order: nodes, tiers, an origin, purges and a clock.

Two nodes share a store. The model knows every version that each picture ever had, and when; whatever a node answers
must have been the picture at a moment that the rules of freshness allow.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from obstore.store import MemoryStore

from imgproxy.caches.store import Store
from imgproxy.circuit import Circuit
from imgproxy.errors import ImageError, SourceRefused, SourceUnreachable
from imgproxy.model import Purge, Reply
from tests.remembering import Clock, Gallery, Remembering, remembering

TTL, WHILE_REVALIDATE, IF_ERROR = 60.0, 300.0, 900.0
URLS = ("http://one.example/a.png", "http://two.example/b.png")
SIZES = ("w:1", "w:2/ct:summer")
SELECTORS = (
    Purge("all"),
    Purge("prefix", "http://one.example/"),
    Purge("tag", "host-two.example"),
    Purge("tag", "summer"),
)

urls, sizes, nodes = st.sampled_from(URLS), st.sampled_from(SIZES), st.sampled_from((0, 1))


@dataclass
class Truth:
    """What one picture was: from when on which version, and since when older ones may not be answered with."""

    versions: list[tuple[float, int]] = field(default_factory=lambda: [(0.0, 0)])

    def since(self, version: int) -> float:
        return next(at for at, each in self.versions if each == version)

    def until(self, version: int) -> float:
        """When the version was replaced; infinity if it is the newest."""
        return next((at for at, each in self.versions if each == version + 1), float("inf"))


class Laws(RuleBasedStateMachine):
    """Requests, purges, changes, failures, restarts and time."""

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.clock, self.gallery = Clock(), Gallery()
        self.truths = {url: Truth() for url in URLS}
        # By (url, size): the moment of the last hard purge that concerned it.
        self.purged: dict[tuple[str, str], float] = {}
        self.bucket = MemoryStore()
        self.nodes = [self.run(self.start()) for _ in range(2)]
        self.down = False

    async def start(self) -> Remembering:
        store = Store(self.bucket, Circuit("store", 5.0, slow=None), now=self.clock, ttl=1e6)
        node = await self.stack.enter_async_context(
            remembering(
                self.gallery,
                store,
                self.clock,
                result_cache_ttl=TTL,
                result_cache_stale_while_revalidate=WHILE_REVALIDATE,
                result_cache_stale_if_error=IF_ERROR,
                negative_cache_ttl=0,
            )
        )
        for purge in await store.load_purges():
            node.purges.learn(purge)
        return node

    def run(self, work):
        return self.runner.run(work)

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.run(self.stack.aclose())
            self.runner.close()

    @rule(url=urls, size=sizes, node=nodes, at_once=st.integers(1, 4))
    def ask(self, url: str, size: str, node: int, at_once: int) -> None:
        rendered = self.nodes[node].copier.rendered

        async def answers() -> list[Reply | BaseException]:
            asking = (self.nodes[node].image(url, *size.split("/")) for _ in range(at_once))
            return await asyncio.gather(*asking, return_exceptions=True)

        for answer in self.run(answers()):
            if isinstance(answer, Reply):
                self.check(url, size, answer)
            else:
                assert isinstance(answer, ImageError), answer
                assert self.down, "an origin that answers gives no errors"
        # However many ask at once: one render, and perhaps one more behind a stale answer.
        assert self.nodes[node].copier.rendered - rendered <= 2

    def check(self, url: str, size: str, reply: Reply) -> None:
        named, version, path = reply.rendition.body.decode().split(" ")
        assert (named, path) == (url, f"rs:fit:{size[2]}")
        truth, now = self.truths[url], self.clock.now
        replaced = truth.until(int(version))
        # It was the picture when the origin vouched for it,
        assert truth.since(int(version)) <= now - reply.found.age < replaced or replaced == float("inf")
        # which is not too long ago,
        assert now - replaced < TTL + (IF_ERROR if self.down else max(WHILE_REVALIDATE, IF_ERROR))
        if reply.found.ttl > 0:
            assert now - replaced < TTL
        # and after a purge nothing from before it is answered with.
        assert replaced > self.purged.get((url, size), 0.0)

    @precondition(lambda self: not self.down)
    @rule(url=urls, size=sizes, node=nodes)
    def catch_up(self, url: str, size: str, node: int) -> None:
        """Behind a stale answer it is made anew: the one after that is no older than fresh."""

        async def twice() -> Reply:
            await self.nodes[node].image(url, *size.split("/"))
            await self.nodes[node].settle()
            return await self.nodes[node].image(url, *size.split("/"))

        # Since the origin was down: it is left alone for some real seconds then.
        self.nodes[node].service.makings._resting.clear()
        answer = self.run(twice())
        self.check(url, size, answer)
        _, version, _ = answer.rendition.body.decode().split(" ")
        assert self.clock.now - self.truths[url].until(int(version)) < TTL

    @rule(url=urls)
    def change(self, url: str) -> None:
        self.clock.now += 1
        version = self.gallery.versions.get(url, 0) + 1
        self.gallery.versions[url] = version
        self.truths[url].versions.append((self.clock.now, version))

    @rule(seconds=st.sampled_from((1.0, TTL, TTL + 10, WHILE_REVALIDATE, IF_ERROR + TTL)))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(purge=st.sampled_from(SELECTORS), node=nodes)
    def purge(self, purge: Purge, node: int) -> None:
        self.clock.now += 1

        async def everywhere() -> None:
            done = await self.nodes[node].purging.purge(purge)
            # What the bulletin does where there is Redis.
            other = self.nodes[1 - node]
            other.purges.learn(done.purge)
            other.purging.hear(done.purge)

        self.run(everywhere())
        for url in URLS:
            for size in SIZES:
                tags = {"host-" + url.split("/")[2], *(["summer"] if "summer" in size else [])}
                if purge.concerns(url, tags):
                    self.purged[url, size] = self.clock.now

    @rule(down=st.booleans())
    def origin(self, down: bool) -> None:
        self.down = down
        self.gallery.failure = SourceUnreachable("down") if down else None

    @precondition(lambda self: not self.down)
    @rule(url=urls, size=sizes, node=nodes)
    def withdraw(self, url: str, size: str, node: int) -> None:
        """A 404, once; afterwards the picture is back as another version."""

        async def gone() -> None:
            self.gallery.failure = SourceRefused(404)
            with suppress(SourceRefused):
                await self.nodes[node].image(url, *size.split("/"))
            await self.nodes[node].settle()
            self.gallery.failure = None

        self.run(gone())
        self.change(url)

    @rule(node=nodes)
    def settle(self, node: int) -> None:
        self.run(self.nodes[node].settle())

    @rule(node=nodes)
    def restart(self, node: int) -> None:
        self.run(self.nodes[node].settle())
        self.nodes[node] = self.run(self.start())

    @invariant()
    def budgets_hold(self) -> None:
        for node in getattr(self, "nodes", []):
            assert node.memory.bytes <= 1_000_000
            assert node.sources.bytes <= 10_000
            assert node.flights.waiting == 0


TestLaws = Laws.TestCase
TestLaws.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
