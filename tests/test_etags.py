from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.etags import Tags
from imgproxy.formats import FormatRule
from imgproxy.model import Conditions, Plan, SourceRef, Validators
from imgproxy.options import Blur, Options

PLAN = Plan(SourceRef("https://example.com/cat.jpg"), Options(), FormatRule())
DIGEST = hashlib.sha256(b"pixels").hexdigest()
OTHER = replace(PLAN, options=Options.of(Blur(2)))
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"

opaque = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters='"\x7f'), max_size=100)


@given(opaque, st.sampled_from(["", "W/"]), st.sampled_from(["{}", '"a", {}', '{}, W/"b"', '"x,y" , {} ']))
def test_the_origins_tag_comes_back_out_of_ours(tag: str, weak: str, header: str) -> None:
    theirs = f'{weak}"{tag}"'
    ours = Tags().mint(PLAN, Validators(theirs, DATE))
    assert ours.etag
    assert ours.etag.isascii()
    assert ours.etag.startswith("W/") == bool(weak)
    assert ours.last_modified == DATE
    asked = Conditions(header.format(ours.etag), DATE)
    assert Tags().for_origin(PLAN, asked) == Validators(theirs)
    assert Tags().matches(asked, ours.etag)


def test_a_tag_means_one_plan_only() -> None:
    tag = Tags().mint(PLAN, Validators('"v1"')).etag
    assert tag != Tags().mint(OTHER, Validators('"v1"')).etag
    assert Tags().for_origin(OTHER, Conditions(tag)) == Validators()


def test_a_new_buster_makes_all_tags_void() -> None:
    tag = Tags("1").mint(PLAN, Validators('"v1"')).etag
    assert Tags("2").for_origin(PLAN, Conditions(tag)) == Validators()
    assert Tags("2").mint(PLAN, Validators('"v1"')).etag != tag


@pytest.mark.parametrize("etag", [None, "", '"' + "a" * 256 + '"'])
def test_an_origin_without_a_tag_worth_carrying_gives_none(etag: str | None) -> None:
    assert Tags().mint(PLAN, Validators(etag, DATE)) == Validators(None, DATE)


def test_a_tag_of_the_result_is_no_tag_of_the_origins() -> None:
    tag = Tags().of_result(PLAN, DIGEST)
    assert tag != Tags().of_result(PLAN, DIGEST[::-1])
    assert tag != Tags().of_result(OTHER, DIGEST)
    assert Tags().for_origin(PLAN, Conditions(tag)) == Validators()
    assert Tags().matches(Conditions(f'"a", {tag}'), tag)


@pytest.mark.parametrize(
    "header",
    ["", "*", "nonsense", '"', '"unfinished', '"{plan}."', '"{plan}.A"', '"{plan}.%%%"', '"{plan}.DQo"'],
)
def test_what_clients_make_up_is_not_passed_on(header: str) -> None:
    """RFC 9110 §13.1.3: nor does the date count beside a tag."""
    plan = Tags().of_result(PLAN, DIGEST).partition("-")[0].strip('"')
    assert Tags().for_origin(PLAN, Conditions(header.replace("{plan}", plan), DATE)) == Validators()


def test_without_a_tag_the_date_is_asked() -> None:
    assert Tags().for_origin(PLAN, Conditions(None, DATE)) == Validators(None, DATE)


@pytest.mark.parametrize(
    ("header", "etag", "matches"),
    [
        ("*", '"a"', True),
        ('"a"', '"a"', True),
        ('W/"a"', '"a"', True),
        ('"a"', 'W/"a"', True),
        ('"b", "a"', '"a"', True),
        ('"b"', '"a"', False),
        ("a", '"a"', False),
        (None, '"a"', False),
        ("*", None, False),
    ],
)
def test_if_none_match_compares_weakly(header: str | None, etag: str | None, matches: bool) -> None:
    assert Tags().matches(Conditions(header), etag) is matches


def test_no_copy_is_older_than_the_last_modified_buster() -> None:
    later = "Wed, 01 Jan 2025 00:00:00 GMT"
    for start in (datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 1, 1)):  # noqa: DTZ001 - a time without a zone is UTC
        tags = Tags(earliest=start)
        assert tags.mint(PLAN, Validators(None, DATE)).last_modified == later
        for odd in ("no date", "Sun, 06 Nov 1994 08:49:37 +99999999999999999999"):
            assert tags.mint(PLAN, Validators('"v1"', odd)).last_modified == later
        assert tags.mint(PLAN, Validators('"v1"')).last_modified is None
        assert tags.for_origin(PLAN, Conditions(if_modified_since=DATE)) == Validators()
        kept = "Thu, 02 Jan 2025 00:00:00 GMT"
        assert tags.for_origin(PLAN, Conditions(if_modified_since=kept)) == Validators(None, kept)
        assert tags.mint(PLAN, Validators(None, kept)).last_modified == kept


@pytest.mark.parametrize(
    ("asked", "modified", "fits"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", True),
        ("Sun, 06 Nov 1994 08:49:38 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", True),
        ("Sun, 06 Nov 1994 08:49:36 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", False),
        ("nonsense", "Sun, 06 Nov 1994 08:49:37 GMT", False),
        ("Sun, 06 Nov 1994 08:49:38 -0000", "Sun, 06 Nov 1994 08:49:37 GMT", True),
        ("Sun, 06 Nov 1994 08:49:37 +99999999999999999999", "Sun, 06 Nov 1994 08:49:37 GMT", False),
        ("Sun, 06 Nov 1994 99999999999999:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", False),
        ("Sun, 06 Nov 99999999999999999999 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", False),
        ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 99999999999999999999 08:49:37 GMT", False),
        ("Sun, 06 Nov 1994 08:49:37 GMT", None, False),
        (None, "Sun, 06 Nov 1994 08:49:37 GMT", False),
    ],
)
def test_whether_a_copy_of_a_date_still_fits(asked: str | None, modified: str | None, fits: bool) -> None:
    assert Tags().still_fit(Conditions(None, asked), Validators('"x"', modified)) is fits
    assert Tags().still_fit(Conditions('"x"', asked), Validators('"x"', modified))
    assert not Tags().still_fit(Conditions('"y"', asked), Validators('"x"', modified))
