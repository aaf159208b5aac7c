"""What the server counts: imgproxy's own metric names, so that its dashboards work, and a few more.

Every label comes from a closed set: no URL, host, user or size ever becomes a label. The set is
small enough (about 200 series) to be scraped whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Protocol, cast

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from pydantic import Field

from imgproxy import __version__
from imgproxy.environment import RoomSettings
from imgproxy.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterable

    from prometheus_client.metrics_core import Metric

# imgproxy's set (metrics/errors.go).
ERROR_TYPES = (
    "timeout",
    "image_data_size",
    "path_parsing",
    "security",
    "queue",
    "download",
    "processing",
    "IO",
    "streaming",
)
SPANS = ("queue", "downloading", "processing", "load", "encode", "streaming")
"""The stages of ``Journey.stages`` that are measured; others are not exported."""

# The boundaries that OpenTelemetry advises for request durations, and 1 ms for small images' spans.
_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


class MetricsSettings(RoomSettings):
    """Where the metrics are served, and what their names begin with."""

    prometheus_bind: str = Field(
        default="", description="Address of the metrics' own listener, such as :8081. Empty: none."
    )
    prometheus_namespace: str = Field(
        default="",
        pattern=r"^([a-zA-Z_:][a-zA-Z0-9_:]*)?$",
        description="Prefix of every metric name, joined with an underscore.",
    )


class Memory(Protocol):
    """What the render processes hold, summed."""

    @property
    def resident_bytes(self) -> int: ...
    @property
    def vips_bytes(self) -> int: ...
    @property
    def vips_peak_bytes(self) -> int: ...
    @property
    def vips_allocations(self) -> int: ...


class Workers(Protocol):
    """The render processes, as far as they are counted."""

    @property
    def size(self) -> int: ...
    @property
    def busy(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def restarts(self) -> Mapping[str, int]: ...
    @property
    def memory(self) -> Memory: ...


class Queue(Protocol):
    """Those who wait to be admitted."""

    @property
    def waiting(self) -> int: ...


@dataclass(frozen=True, slots=True)
class CacheState:
    """What the caches have done so far, and hold now."""

    asked: Mapping[tuple[str, str], int]
    """Look-ups by tier ("memory", "redis", "store", "source") and by what they said."""
    bytes: Mapping[str, int]
    entries: Mapping[str, int]
    """Both by tier, for those in this process."""
    evictions: Mapping[Any, int]
    """From memory, by reason."""
    writes: Mapping[str, int]
    """To shared tiers, by how they ended."""
    pending_bytes: int
    open: Mapping[str, int]
    """Breakers that are open, by dependency."""
    damaged: int
    collapsed: int
    waiting: int
    """Requests that wait for another one's making."""


@dataclass(frozen=True, slots=True)
class NodeState:
    """What a node's defences have done so far, and how things stand."""

    sandbox: Mapping[str, bool]
    """Layers of the render processes' sandbox, and whether they hold."""
    guarded: Mapping[str, int]
    """Sources that were refused, by reason."""
    resting: int
    """Origins that are left alone."""
    fetching: int
    """Downloads under way."""
    waiting_for_origins: int
    """Requests that wait for their turn at an origin."""
    poisoned: int
    """Sources on the poison list."""
    refused: Mapping[tuple[str, str], int]
    """Requests that were not admitted, by lane and reason."""
    queued_seconds: float
    """Until who comes now has his turn."""
    rated: Mapping[str, int]
    """Requests beyond a rate, by whose rate."""
    memory_level: int
    """0 calm, 1 tight, 2 critical."""
    memory_fraction: float
    lag_seconds: float
    stalls: int
    dropped_lines: int
    """Of the log, because nobody read them."""
    reloaded: bool
    reloaded_at: float
    """Unix seconds."""
    reload_mistakes: Mapping[str, int]
    """In what was read last and not taken, by what they concern."""


class Metrics:
    """All metrics of one server, in a registry of their own."""

    def __init__(self, settings: MetricsSettings | None = None) -> None:
        self._namespace = (settings or MetricsSettings()).prometheus_namespace
        self.registry = CollectorRegistry()
        # A `_created` series beside each counter doubles the scrape and is read by nobody.
        prometheus_client.disable_created_metrics()
        self._requests = self._counter("requests_total", "Image requests answered.")
        self._statuses = self._counter("status_codes_total", "Answers by HTTP status.", "status")
        self._errors = self._counter("errors_total", "Errors by type.", "type")
        self._seconds = self._histogram("request_duration_seconds", "Time to answer a request.")
        self._spans = self._histogram("request_span_duration_seconds", "Time spent in one stage of a request.", "span")
        self._source_bytes = self._counter("source_bytes_total", "Bytes of sources that were rendered.")
        self._result_bytes = self._counter("result_bytes_total", "Bytes of bodies sent.", "format")
        self._in_progress = self._gauge("requests_in_progress", "Requests being answered now.")
        self._gauge("build_info", "Always 1; the version is a label.", "version").labels(__version__).set(1)
        self._by_preset = self._counter("preset_requests_total", "Requests that a preset had a part in.", "preset")
        self._preset_seconds = self._counter(
            "preset_processing_seconds_total", "Time spent on rendering for a preset.", "preset"
        )
        self._deprecated = self._counter(
            "deprecated_preset_requests_total", "Requests for a preset that is to go.", "preset"
        )
        self._presets: dict[str, tuple[Counter, Counter]] = {}
        # Looked up once: it takes longer than to count.
        self._of_status: Callable[[int], Counter] = cache(partial(_labelled, self._statuses))
        self._of_format: Callable[[str], Counter] = cache(partial(_labelled, self._result_bytes))
        # Series that exist from the start make the first error visible to rate().
        for kind in ERROR_TYPES:
            self._errors.labels(kind)
        # Their names (process_resident_memory_bytes, ...) are every client's: no prefix.
        prometheus_client.ProcessCollector(registry=self.registry)
        prometheus_client.PlatformCollector(registry=self.registry)

    def watch(self, workers: Workers, queue: Queue) -> None:
        """Export the state of the render processes, and of the queue before them; it is read at each scrape."""
        self.registry.register(_WorkersCollector(workers, queue, self._namespace))

    def watch_caches(self, read: Callable[[], CacheState]) -> None:
        """Export the state of the caches; it is read at each scrape."""
        self.registry.register(_CachesCollector(read, self._namespace))

    def watch_node(self, read: Callable[[], NodeState]) -> None:
        """Export how a node's defences stand; it is read at each scrape."""
        self.registry.register(_NodeCollector(read, self._namespace))

    @contextmanager
    def request(self) -> Generator[None]:
        """Count a request as in progress while inside."""
        self._in_progress.inc()
        try:
            yield
        finally:
            self._in_progress.dec()

    def answered(self, status: int, seconds: float, stages: Mapping[str, float]) -> None:
        """Count an answered request; ``stages`` in seconds."""
        self._requests.inc()
        self._of_status(status).inc()
        self._seconds.observe(seconds)
        for span, spent in stages.items():
            if span in SPANS:
                self._spans.labels(span).observe(spent)

    def moved(self, source_bytes: int, body_bytes: int, result: str) -> None:
        """Count the bytes rendered from and the bytes sent; ``result`` is a format's name or "raw"."""
        if source_bytes:
            self._source_bytes.inc(source_bytes)
        if body_bytes:
            self._of_format(result).inc(body_bytes)

    def failed(self, kind: str) -> None:
        """Count an error by its type."""
        self._errors.labels(kind if kind in ERROR_TYPES else InternalError.kind).inc()

    def know_presets(self, names: Iterable[str], deprecated: Iterable[str]) -> None:
        """Have a series for each of these presets, and none for others."""
        known, going = {*names}, {*deprecated}
        for family, wanted in ((self._by_preset, known), (self._preset_seconds, known), (self._deprecated, going)):
            for (name,) in [each for each in _labels(family) if each[0] not in wanted]:
                family.remove(name)
            for name in sorted(wanted):
                family.labels(name)
        self._presets = {name: (self._by_preset.labels(name), self._preset_seconds.labels(name)) for name in known}

    def used_preset(self, name: str, seconds: float, *, deprecated: bool) -> None:
        """Count a request that a known preset had a part in, and the ``seconds`` that its rendering took."""
        requests, processing = self._presets[name]
        requests.inc()
        if seconds:
            processing.inc(seconds)
        if deprecated:
            self._deprecated.labels(name).inc()

    def asgi(self) -> Callable[..., Awaitable[None]]:
        """The application that answers a scrape, on every path."""
        make = cast("Callable[..., Callable[..., Awaitable[None]]]", prometheus_client.make_asgi_app)
        return make(self.registry)

    def text(self) -> str:
        """What a scrape would say now."""
        return prometheus_client.generate_latest(self.registry).decode()

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(name, about, labels, namespace=self._namespace, registry=self.registry)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(name, about, labels, namespace=self._namespace, registry=self.registry)

    def _histogram(self, name: str, about: str, *labels: str) -> Histogram:
        return Histogram(name, about, labels, namespace=self._namespace, registry=self.registry, buckets=_SECONDS)


def _labelled(counter: Counter, label: object) -> Counter:
    return counter.labels(str(label))


def _labels(counter: Counter) -> Iterable[tuple[str]]:
    """The labels that a counter with one label has series for."""
    return [(sample.labels["preset"],) for family in counter.collect() for sample in family.samples]


class _WorkersCollector(Collector):
    """The render processes' state at the moment of the scrape."""

    def __init__(self, workers: Workers, queue: Queue, namespace: str) -> None:
        self._workers = workers
        self._queue = queue
        self._prefix = f"{namespace}_" if namespace else ""

    def collect(self) -> Iterable[Metric]:
        workers, memory = self._workers, self._workers.memory
        for name, about, value in (
            ("images_in_progress", "Images being rendered now.", workers.busy),
            ("workers", "Render processes.", workers.size),
            ("workers_utilization", "Busy render processes, in percent.", 100 * workers.busy / max(1, workers.size)),
            (
                "workers_waiting",
                "Requests that wait for a place or for a render process.",
                self._queue.waiting + workers.waiting,
            ),
            ("workers_resident_bytes", "Resident memory of all render processes.", memory.resident_bytes),
            ("vips_memory_bytes", "Memory that libvips holds in all render processes.", memory.vips_bytes),
            ("vips_max_memory_bytes", "Peaks of libvips' memory, summed.", memory.vips_peak_bytes),
            ("vips_allocs", "Live libvips allocations in all render processes.", memory.vips_allocations),
        ):
            yield GaugeMetricFamily(self._prefix + name, about, value=value)
        restarts = CounterMetricFamily(
            self._prefix + "render_worker_restarts",
            "Render processes replaced, by reason.",
            labels=["reason"],
        )
        for reason, count in workers.restarts.items():
            restarts.add_metric([reason], count)
        yield restarts


class _CachesCollector(Collector):
    """The caches' state at the moment of the scrape."""

    def __init__(self, read: Callable[[], CacheState], namespace: str) -> None:
        self._read = read
        self._prefix = f"{namespace}_" if namespace else ""

    def collect(self) -> Iterable[Metric]:
        state = self._read()
        counters = (
            ("cache_requests", "Look-ups in a cache, by what they said.", ("tier", "result"), state.asked),
            ("cache_evictions", "Results that memory let go, by reason.", ("reason",), _single(state.evictions)),
            ("cache_writes", "Writes to shared tiers, by how they ended.", ("outcome",), _single(state.writes)),
            ("cache_integrity_failures", "Values of shared tiers that were damaged.", (), {(): state.damaged}),
            ("coalesced_requests", "Requests that waited for another one's making.", (), {(): state.collapsed}),
        )
        gauges = (
            ("cache_bytes", "Bytes that are kept in this process.", ("tier",), _single(state.bytes)),
            ("cache_entries", "What is kept in this process.", ("tier",), _single(state.entries)),
            ("cache_writes_pending_bytes", "Bytes that wait to be written.", (), {(): state.pending_bytes}),
            ("breaker_open", "Breakers that are open, by dependency.", ("dependency",), _single(state.open)),
            ("singleflight_waiters", "Requests that wait for another one's making.", (), {(): state.waiting}),
        )
        yield from _families(self._prefix, counters, gauges)


class _NodeCollector(Collector):
    """A node's defences at the moment of the scrape."""

    def __init__(self, read: Callable[[], NodeState], namespace: str) -> None:
        self._read = read
        self._prefix = f"{namespace}_" if namespace else ""

    def collect(self) -> Iterable[Metric]:
        state = self._read()
        counters = (
            ("guard_refusals", "Sources that were refused, by reason.", ("reason",), _single(state.guarded)),
            ("admission_rejected", "Requests that were not admitted.", ("lane", "reason"), state.refused),
            ("rate_limited", "Requests beyond a rate, by whose rate.", ("of",), _single(state.rated)),
            ("log_lines_dropped", "Lines of the log that nobody read in time.", (), {(): state.dropped_lines}),
            ("event_loop_stalls", "Times that the event loop was late by 250 ms or more.", (), {(): state.stalls}),
        )
        gauges = (
            ("sandbox_layer", "1 where this layer of the sandbox holds.", ("layer",), _single(state.sandbox)),
            ("sandbox_level", "1 if every layer holds.", (), {(): int(all(state.sandbox.values()))}),
            ("origins_resting", "Origins that are left alone because they failed.", (), {(): state.resting}),
            ("origin_fetches", "Downloads under way.", (), {(): state.fetching}),
            ("origin_waiters", "Requests waiting for their turn at an origin.", (), {(): state.waiting_for_origins}),
            ("poisoned_inputs", "Sources that end render processes, and are refused.", (), {(): state.poisoned}),
            ("queue_wait_seconds", "Seconds of work before who comes now.", (), {(): state.queued_seconds}),
            ("memory_pressure", "0 calm, 1 caches give back, 2 new work is refused.", (), {(): state.memory_level}),
            ("memory_used_ratio", "Part of the cgroup's limit in use; 0: no limit.", (), {(): state.memory_fraction}),
            ("event_loop_lag_seconds", "Seconds that the event loop was late by.", (), {(): state.lag_seconds}),
            ("config_last_reload_successful", "1 if the settings read last are in force.", (), {(): state.reloaded}),
            ("config_last_reload_success_timestamp_seconds", "When they were read.", (), {(): state.reloaded_at}),
            ("config_reload_mistakes", "Mistakes in what was not taken.", ("of",), _single(state.reload_mistakes)),
        )
        yield from _families(self._prefix, counters, gauges)


_Family = tuple[str, str, tuple[str, ...], Mapping[Any, float]]


def _families(prefix: str, counters: Iterable[_Family], gauges: Iterable[_Family]) -> Iterable[Metric]:
    for kind, families in ((CounterMetricFamily, counters), (GaugeMetricFamily, gauges)):
        for name, about, labels, values in families:
            family = kind(prefix + name, about, labels=labels)
            for label, value in values.items():
                family.add_metric(label, value)
            yield family


def _single(values: Mapping[Any, float]) -> Mapping[tuple[str, ...], float]:
    return {(label,): value for label, value in values.items()}
