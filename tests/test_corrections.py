"""What is underlined of a URL that failed, and what is proposed instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from imgproxy.corrections import Diagnosis, diagnose
from imgproxy.dialects.imgproxy import Dialect, DialectSettings
from imgproxy.errors import (
    BadOption,
    ExpiredUrl,
    ImageError,
    InvalidUrl,
    RenderTimeout,
    SourceForbidden,
    SourceUnreachable,
)
from imgproxy.model import Client
from imgproxy.planning import Planner
from imgproxy.presets.settings import PresetSettings
from imgproxy.readings import Rules
from imgproxy.tokens import Tokens
from tests.serving import SIGNER

LINES = "small=w:9,large=w:99"
PRESETS = PresetSettings(presets=LINES, presets_dir=Path(__file__).parents[1] / "presets").read(":")
RULES = Rules(SIGNER, Planner(presets=PRESETS), Tokens(SIGNER.pairs))
SOURCE = "plain/https://example.com/a.jpg"


def error_of(target: str, dialect: Dialect) -> ImageError | None:
    """What the service says of a target."""
    try:
        signed = dialect.split(target)
        RULES.signer.verify(signed.signature, signed.path)
        RULES.planner.plan(dialect.read(signed.path), Client())
    except ImageError as error:
        return error
    return None


def found(target: str, dialect: Dialect | None = None, error: ImageError | None = None) -> tuple[str, Diagnosis]:
    """The faulty part, and all that is said."""
    dialect = dialect or Dialect()
    error = error or error_of(target, dialect)
    assert error is not None
    diagnosis = diagnose(dialect, RULES, target, error)
    begin, end = diagnosis.fault
    return target[begin:end], diagnosis


@pytest.mark.parametrize(
    ("path", "fault", "meant", "better"),
    [
        (f"/wdth:30/h:5/{SOURCE}", "wdth", ("width",), f"/width:30/h:5/{SOURCE}"),
        (f"/h:5/resizing_typ:fill/{SOURCE}", "resizing_typ", ("resizing_type",), f"/h:5/resizing_type:fill/{SOURCE}"),
        (f"/rs:fil:30:30/g:no/{SOURCE}", "fil", ("fill",), f"/rs:fill:30:30/g:no/{SOURCE}"),
        (f"/f:wepb/{SOURCE}", "wepb", ("webp",), f"/f:webp/{SOURCE}"),
        (f"/w:9/{SOURCE}@wepb", "wepb", ("webp",), f"/w:9/{SOURCE}@webp"),
        ("/w:1/aHR0cDovL3gveQ.wepb", "wepb", ("webp",), "/w:1/aHR0cDovL3gveQ.webp"),
        (f"/pr:hreo/{SOURCE}", "hreo", ("hero",), f"/pr:hero/{SOURCE}"),
        (f"/pr:small:larg/{SOURCE}", "larg", ("large",), f"/pr:small:large/{SOURCE}"),
        # of two as near the wider one
        (f"/pr:product-tile/w:300/{SOURCE}", "300", ("320",), f"/pr:product-tile/w:320/{SOURCE}"),
        (f"/w:240/pr:product-tile/{SOURCE}", "240", ("320",), f"/w:320/pr:product-tile/{SOURCE}"),
        (f"/pr:hero/w:9000/{SOURCE}", "9000", ("2200",), f"/pr:hero/w:2200/{SOURCE}"),
        # two mistakes
        (f"/wdth:30/rs:fil:3/{SOURCE}", "wdth", ("width", "fill"), f"/width:30/rs:fill:3/{SOURCE}"),
        # one is certain, the other is not: no URL
        (f"/wdth:30/q:101/{SOURCE}", "wdth", (), ""),
        # nobody can know
        (f"/w:abc/{SOURCE}", "abc", (), ""),
        (f"/q:101/{SOURCE}", "101", (), ""),
        (f"/xyzzy:1/{SOURCE}", "xyzzy", (), ""),
        (f"/pr:xyzzy/{SOURCE}", "xyzzy", (), ""),
        (f"/pr:hero/q:5/{SOURCE}", "q:5", (), ""),
        (f"/pr:hero/rs:fit:640/{SOURCE}", "rs:fit:640", (), ""),
        (f"/msr:9/{SOURCE}", "msr:9", (), ""),
        (f"/w:1:2:3/{SOURCE}", "w:1:2:3", (), ""),
        (f"/w:5/q:101/q:101/{SOURCE}", "q:101", (), ""),
        ("/w:1/plain/", "plain/", (), ""),
        ("/w:1/!!!", "!!!", (), ""),
        ("/w:1/h:2/", "", (), ""),
    ],
)
def test_the_faulty_part_and_what_was_meant(path: str, fault: str, meant: tuple[str, ...], better: str) -> None:
    marked, diagnosis = found(SIGNER.sign(path))
    assert (marked, diagnosis.cause) == (fault, "")
    if better:
        assert (diagnosis.meant, diagnosis.path) == (meant, better)
        assert error_of(SIGNER.sign(better), Dialect()) is None
    else:
        assert diagnosis.path == ""


def test_the_part_that_is_meant_is_marked_where_it_stands_and_not_where_its_text_stands_first() -> None:
    target = SIGNER.sign(f"/w:10/q:abc/cb:abc/{SOURCE}")
    begin, end = found(target)[1].fault
    assert target[:begin].endswith("/w:10/q:")
    assert target[begin:end] == "abc"


def test_percent_encoded_colons_are_counted() -> None:
    signed = SIGNER.sign(f"/w:10/rs:fil:30/{SOURCE}")
    marked, diagnosis = found(signed.replace("rs:fil:30", "rs%3Afil%3A30"))
    assert marked == "fil"
    assert diagnosis.path == f"/w:10/rs:fill:30/{SOURCE}"


def test_other_separators_and_prefixes() -> None:
    dialect = Dialect(DialectSettings(path_prefix="/img", arguments_separator=","))
    path = f"/rs,fil,30/{SOURCE}"
    marked, diagnosis = found(f"/img{SIGNER.sign(path)}", dialect)
    assert (marked, diagnosis.path) == ("fil", f"/rs,fill,30/{SOURCE}")
    assert found(f"/other{SIGNER.sign(path)}", dialect) == ("", Diagnosis())


def test_where_urls_name_presets_only() -> None:
    dialect = Dialect(DialectSettings(only_presets=True))
    marked, diagnosis = found(SIGNER.sign(f"/small:larg/{SOURCE}"), dialect)
    assert (marked, diagnosis.meant) == ("larg", ("large",))
    marked, diagnosis = found(SIGNER.sign(f"/hreo/{SOURCE}"), dialect)
    assert (marked, diagnosis.path) == ("hreo", f"/hero/{SOURCE}")


@pytest.mark.parametrize("path", [f"/w:30/{SOURCE}", f"/wdth:30/{SOURCE}"])
def test_a_forgotten_signature_is_put_in(path: str) -> None:
    marked, diagnosis = found(path)
    assert marked == path.split("/")[1]
    assert diagnosis.path == f"/{'width' if 'wdth' in path else 'w'}:30/{SOURCE}"


def test_a_bad_signature_is_marked_and_explained() -> None:
    path = f"/wdth:30/{SOURCE}"
    marked, diagnosis = found(SIGNER.sign(path).replace(path, f"={path}"))
    assert marked.endswith("=")
    assert "padded" in diagnosis.cause
    assert (diagnosis.meant, diagnosis.path) == (("width",), f"/width:30/{SOURCE}")
    marked, diagnosis = found(f"/unsafe/w:abc/{SOURCE}")
    assert (marked, diagnosis.path) == ("unsafe", "")
    assert "this server has keys" in diagnosis.cause


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (ExpiredUrl(), "exp:1"),
        (SourceForbidden(), SOURCE),
        (SourceUnreachable(), SOURCE),
        (RenderTimeout(), ""),
    ],
)
def test_what_fails_later_is_marked_by_what_failed(error: ImageError, fault: str) -> None:
    marked, diagnosis = found(SIGNER.sign(f"/w:3/exp:1/{SOURCE}"), error=error)
    assert marked == fault
    assert (diagnosis.meant, diagnosis.path) == ((), "")


def test_an_expiry_that_a_preset_brings_stands_nowhere() -> None:
    assert found(SIGNER.sign(f"/pr:hero/{SOURCE}"), error=ExpiredUrl())[0] == ""


@pytest.mark.parametrize("target", ["/", "/nothing", "", "//"])
def test_what_is_no_url_at_all_has_no_parts(target: str) -> None:
    assert found(target, error=InvalidUrl()) == ("", Diagnosis())


def test_a_url_of_many_segments_is_left_alone() -> None:
    target = SIGNER.sign(f"/{'w:1/' * 100}wdth:1/{SOURCE}")
    assert found(target) == ("", Diagnosis())


def test_as_many_mistakes_as_anybody_makes_are_corrected() -> None:
    path = "/" + "wdth:30/" * 6 + SOURCE
    assert found(SIGNER.sign(path), error=BadOption())[1].path == ""
