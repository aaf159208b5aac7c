from __future__ import annotations

import dataclasses
import inspect
import os
import pickle
import time

import pytest

from imgproxy import model
from imgproxy.formats import WEBP, FormatRule
from imgproxy.model import Client, Conditions, Deadline, Delivery, Plan, Rendition, Source, SourceRef, Validators
from imgproxy.options import Options

RECORDS = [each for each in vars(model).values() if inspect.isclass(each) and dataclasses.is_dataclass(each)]
PLAN = Plan(SourceRef("http://x/a.jpg"), Options(), FormatRule())


@pytest.mark.parametrize(
    "kind", [each for each in RECORDS if each.__module__ == model.__name__], ids=lambda each: each.__name__
)
def test_records_are_frozen_and_slotted(kind: type[object]) -> None:
    assert kind.__dataclass_params__.frozen  # pyright: ignore[reportAttributeAccessIssue]
    assert "__slots__" in vars(kind) or kind is Plan


@pytest.mark.parametrize(
    "record",
    [
        PLAN,
        Client(frozenset({"webp"}), 2.0, 640),
        Rendition(b"body", WEBP, 1, 2, 3, 4),
        Source(0, 5, "http://x", "image/png", Validators('"a"')),
        Conditions("a", "b", "c"),
        Deadline(1.5),
    ],
)
def test_records_travel(record: object) -> None:
    again = pickle.loads(pickle.dumps(record))
    assert again == record
    assert hash(again) == hash(record)


def test_a_plan_is_compared_without_its_delivery() -> None:
    other = dataclasses.replace(PLAN, delivery=Delivery("a", True, 5))
    assert other == PLAN
    assert hash(other) == hash(PLAN)
    assert other.key == PLAN.key


def test_the_key_holds_the_pipeline_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dataclasses.replace(PLAN).key
    monkeypatch.setattr(model, "PIPELINE_VERSION", model.PIPELINE_VERSION + 1)
    assert dataclasses.replace(PLAN).key != before


def test_what_is_computed_of_a_plan_is_no_part_of_it() -> None:
    fresh = dataclasses.replace(PLAN)
    assert (PLAN.key, PLAN.path) == (fresh.key, fresh.path)
    assert PLAN == pickle.loads(pickle.dumps(PLAN)) == dataclasses.replace(PLAN)
    assert dataclasses.replace(PLAN, source=SourceRef("http://y")).key != PLAN.key


def test_a_deadline_runs_out() -> None:
    now = time.monotonic()
    deadline = Deadline.after(60)
    assert 59 < deadline.remaining <= 60
    assert Deadline(now - 1).remaining == 0.0
    assert deadline.sooner(1).at == pytest.approx(now + 1, abs=0.5)
    assert deadline.sooner(600) == deadline


def test_whoever_holds_a_source_closes_it() -> None:
    reading, writing = os.pipe()
    Source(reading, 0, "http://x").close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.read(reading, 1)
    os.close(writing)
