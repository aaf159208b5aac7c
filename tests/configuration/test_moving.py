from __future__ import annotations

from pathlib import Path

import pytest

from imgproxy.configuration.moving import Moved, moved


def move(**theirs: str) -> Moved:
    return moved({f"IMGPROXY_{name.upper()}": value for name, value in theirs.items()})


@pytest.mark.parametrize(
    ("name", "value", "verdict", "text"),
    [
        ("ttl", "60", "same", ""),
        ("enable_avif_detection", "1", "same", "the new one is IMGPROXY_AUTO_AVIF"),
        ("cache_use", "s3", "renamed", "IMGPROXY_RESULT_STORE_URL"),
        ("malloc", "jemalloc", "not needed", "IMGPROXY_WORKER_MEMORY"),
        ("use_s3", "true", "unsupported", "https://"),
        ("use_s3", "false", "not needed", "switched off"),
        ("quality", "800", "refused", "less than or equal to 100"),
        ("s3_what", "1", "unsupported", "https://"),
        ("ttll", "60", "unknown", "did you mean IMGPROXY_TTL?"),
        ("no_such_thing_at_all", "60", "unknown", "imgproxy has no such variable"),
    ],
)
def test_what_becomes_of_a_variable(name: str, value: str, verdict: str, text: str) -> None:
    result = move(**{name: value})
    (only,) = result.moves
    assert only.verdict == verdict
    assert text in only.text
    assert result.good is (verdict in {"same", "not needed"})
    assert only.as_dict() == {"name": only.name, "verdict": only.verdict, "text": only.text}


def test_every_documented_variable_of_imgproxys_is_known() -> None:
    documented = (Path(__file__).parent / "imgproxy.txt").read_text().split()
    assert len(documented) > 170
    moves = move(**dict.fromkeys(documented, "1")).moves
    assert [each.name for each in moves if each.verdict == "unknown"] == []


def test_what_is_wrong_with_several_together() -> None:
    result = move(key="aa,bb", salt="cc")
    assert [each.verdict for each in result.moves] == ["same", "same"]
    assert result.mistakes == ("IMGPROXY_KEY has 2 keys and IMGPROXY_SALT 1 salts: give one salt per key",)
    assert not result.good


def test_defaults_that_differ_are_told_unless_they_are_set() -> None:
    told = {each.name for each in move().defaults}
    assert "IMGPROXY_ALLOW_PRIVATE_SOURCE_ADDRESSES" in told
    assert "IMGPROXY_AVIF_SPEED" in told
    assert "IMGPROXY_AVIF_SPEED" not in {each.name for each in move(avif_speed="8").defaults}


def test_what_is_not_imgproxys_or_empty_is_passed_over() -> None:
    assert moved({"AWS_REGION": "eu", "IMGPROXY_TTL": ""}).moves == ()
    assert moved({}).good
