"""Renders without a server: options as text and a source as bytes, through planner and pipeline."""

from __future__ import annotations

import os
from typing import Any

import pyvips

from imgproxy.model import Client, ImageRequest, Job, Plan, Rendition, Source, SourceRef
from imgproxy.negotiation import NegotiationSettings, Negotiator
from imgproxy.options import read_segment
from imgproxy.options.base import Setting
from imgproxy.planning import Planner, PlanSettings
from imgproxy.render import pipeline
from imgproxy.render.worker import perform, set_up_libvips

set_up_libvips()
URL = "https://origin.test/picture"


def plan(options: str = "", *, accept: str = "", watermark: bool = False, **settings: Any) -> Plan:
    """The plan of ``rs:fit:300:200/g:no`` under settings (fields of PlanSettings and NegotiationSettings)."""
    negotiation = {name: settings.pop(name) for name in list(settings) if name in NegotiationSettings.model_fields}
    negotiator = Negotiator(NegotiationSettings(**negotiation))
    planner = Planner(PlanSettings(**settings), negotiator=negotiator, watermark="mark" if watermark else "")
    client = negotiator.client({"accept": accept})
    return planner.plan(ImageRequest(SourceRef(URL), tuple(_settings(options))), client if accept else Client())


def render(
    source: bytes, options: str = "", *, mark: bytes | None = None, accept: str = "", **settings: Any
) -> Rendition:
    """The result; raises what a worker would answer with."""
    asked = plan(options, accept=accept, watermark=mark is not None, **settings)
    body, stamp = held(source), held(mark) if mark is not None else None
    try:
        return perform(pipeline.run, Job(asked, body, stamp)).rendition
    finally:
        body.close()
        if stamp:
            stamp.close()


def rendered(source: bytes, options: str = "", **rest: Any) -> pyvips.Image:
    """The result's pixels, without the loss of an encoder."""
    return opened(render(source, f"{options}/f:png", **rest).body)


def opened(body: bytes, **options: Any) -> pyvips.Image:
    """A decoded image."""
    return pyvips.Image.new_from_buffer(body, "", **options)


def largest(image: pyvips.Image) -> float:
    """The largest number in an image."""
    found = image.max()
    assert isinstance(found, float)  # the stubs also know a form with coordinates
    return found


def smallest(image: pyvips.Image) -> float:
    """The smallest number in an image."""
    found = image.min()
    assert isinstance(found, float)
    return found


def held(body: bytes) -> Source:
    """A source as a fetch leaves it."""
    source = Source(os.memfd_create("source"), len(body), URL)
    os.write(source.fd, body)
    return source


def _settings(options: str) -> list[Setting]:
    segments = (segment.split(":") for segment in options.split("/") if segment)
    return [each for name, *texts in segments for each in read_segment(name, texts)]
