from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from imgproxy.corrections import Diagnosis
from imgproxy.errors import BadOption, BadSignature, ImageError, InternalError, MissingSignature, SourceTimeout
from imgproxy.negotiation import accepts
from imgproxy.web.accepting import wants_image, wants_page, wants_problem
from imgproxy.web.advice import NO_ADVICE, Advice
from imgproxy.web.explain import Complaint, explain
from tests.web.border import ask, images

TARGET = "/unsafe/rs:fill:<x>/plain/https://example.com/a.jpg"
WRONG = BadOption("expected a number, got '<x>' in 'rs'")

CHROME_PAGE = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
CHROME_IMG = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
SAFARI_IMG = "image/webp,image/avif,image/jxl,image/heic,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"


FAULT = (TARGET.index("<x>"), TARGET.index("<x>") + 3)
SIGNED = "/0123/rs:fill:3/plain/https://example.com/a.jpg"
ADVICE = Advice(Diagnosis(FAULT, meant=("3",), path=SIGNED[5:]), SIGNED)


def said(error: ImageError, accept: str, advice: Advice = ADVICE, *, development: bool = True) -> tuple[str, str]:
    media_type, body = explain(Complaint(error, TARGET, accept, "abc", advice), development=development)
    return media_type, body.decode()


@pytest.mark.parametrize("accept", ["", "*/*", CHROME_PAGE, CHROME_IMG, "text/plain, application/json;q=0.5"])
def test_production_says_one_sentence(accept: str) -> None:
    assert said(WRONG, accept, development=False) == ("text/plain; charset=utf-8", "Invalid URL")


@pytest.mark.parametrize(
    "accept", ["application/problem+json", "application/json", "application/json, text/plain;q=0.5"]
)
def test_problem_json(accept: str) -> None:
    media_type, body = said(SourceTimeout("10.0.0.7 is slow"), accept, development=False)
    assert media_type == "application/problem+json"
    assert json.loads(body) == {
        "type": "urn:imgproxy:error:source_timeout",
        "title": "Source is unreachable",
        "status": 504,
        "code": "source_timeout",
        "request_id": "abc",
    }
    told = json.loads(said(SourceTimeout("10.0.0.7 is slow"), accept)[1])
    assert told["detail"] == "10.0.0.7 is slow"
    assert told["remedy"] == SourceTimeout.remedy


def test_the_page_underlines_the_faulty_part() -> None:
    media_type, page = said(WRONG, CHROME_PAGE)
    assert media_type == "text/html; charset=utf-8"
    assert "/unsafe/rs:fill:<mark>&lt;x&gt;</mark>/plain/" in page
    assert "docs/errors.md#bad_option" in page
    assert BadOption.remedy in page
    assert "<details>" not in page
    assert "<x>" not in page


def test_what_would_be_good_is_a_link_for_those_who_may_have_it() -> None:
    page = said(WRONG, CHROME_PAGE)[1]
    assert "<p>Did you mean 3?</p>" in page
    assert f'<a class="path good" href="{SIGNED}">{SIGNED}</a>' in page
    unsigned = said(WRONG, CHROME_PAGE, replace(ADVICE, link=""))[1]
    assert "<a " not in unsigned
    assert f'Sign this path instead:</p>\n<code class="path good">{SIGNED[5:]}</code>' in unsigned
    for part in ("Corrected", "Sign this", "Did you mean", "<mark>"):
        assert part not in said(WRONG, CHROME_PAGE, NO_ADVICE)[1]


def test_what_the_error_asks_already_is_not_asked_again() -> None:
    error = BadOption("unknown option 'wdth', did you mean 'width'?")
    advice = Advice(Diagnosis(meant=("width",)))
    assert said(error, CHROME_PAGE, advice)[1].count("id you mean") == 1
    assert "Did you mean width, fill?" in said(error, CHROME_PAGE, Advice(Diagnosis(meant=("width", "fill"))))[1]


def test_a_diagnosis_says_more_than_the_error() -> None:
    advice = Advice(Diagnosis(cause="the signature is padded"))
    for accept in (CHROME_PAGE, CHROME_IMG, "*/*", "application/json"):
        shown = said(BadSignature("this is not the path's signature"), accept, advice)[1]
        assert "the signature is padded" in shown
        assert "this is not" not in shown


def test_text_and_json_hold_the_correction_too() -> None:
    unsigned = replace(ADVICE, link="")
    assert f"\nDid you mean 3?\n{BadOption.remedy}\n\nCorrected: {SIGNED}\n" in said(WRONG, "*/*")[1]
    assert f"\n\nSign this: {SIGNED[5:]}\n" in said(WRONG, "*/*", unsigned)[1]
    assert json.loads(said(WRONG, "application/json")[1])["corrected"] == SIGNED
    told = json.loads(said(WRONG, "application/json", unsigned)[1])
    assert (told["corrected_path"], "corrected" in told) == (SIGNED[5:], False)


@pytest.mark.parametrize("accept", ["", "*/*", CHROME_PAGE, CHROME_IMG, "application/problem+json"])
def test_production_corrects_nothing(accept: str) -> None:
    shown = said(WRONG, accept, development=False)[1]
    assert "rs:fill" not in shown
    assert "0123" not in shown


def broken() -> InternalError:
    """An internal error as it comes about, with what no client must read."""
    key = "943b421c9eb07c830af8"
    try:
        try:
            raise FileNotFoundError(2, f"no such file, key={key}", "/srv/secret/a.jpg")  # noqa: TRY301
        except FileNotFoundError as cause:
            raise InternalError(repr(cause)) from cause
    except InternalError as error:
        return error


@pytest.mark.parametrize("accept", [CHROME_PAGE, CHROME_IMG, "text/plain", "application/problem+json"])
def test_an_internal_error_tells_where_it_happened_and_nothing_of_the_server(accept: str) -> None:
    shown = said(broken(), accept)[1]
    assert "FileNotFoundError" in shown
    for secret in ("/srv", "secret/", "943b", __file__, "imgproxy/", "site-packages"):
        assert secret not in shown
    if accept == CHROME_PAGE:
        assert "<details>" in shown
        assert f"{__name__}.broken:" in shown


def test_an_internal_error_cannot_write_the_page() -> None:
    odd = type("</pre><script>", (Exception,), {})
    error = InternalError("oh </pre><script>")
    error.__cause__ = odd()
    assert "<script>" not in said(error, CHROME_PAGE)[1]


@pytest.mark.parametrize("accept", [CHROME_PAGE, CHROME_IMG, "text/plain", "application/problem+json"])
def test_urls_are_told_without_user_and_query(accept: str) -> None:
    shown = said(SourceTimeout("'https://me:s3cret@cdn.example.com/mark.png?token=s3cret' is slow"), accept)[1]
    assert "s3cret" not in shown
    assert "mark.png" in shown


@pytest.mark.parametrize("accept", [CHROME_IMG, SAFARI_IMG, "image/*"])
def test_images_get_an_image(accept: str) -> None:
    media_type, body = said(BadOption("odd \x00 \x1b " + "word " * 40), accept)
    assert media_type == "image/svg+xml"
    picture = ET.fromstring(body)
    text = " ".join(picture.itertext())
    assert "404 Invalid URL" in text
    assert "abc" in text


def test_everything_else_gets_the_whole_story_as_text() -> None:
    media_type, text = said(WRONG, "*/*")
    assert media_type == "text/plain; charset=utf-8"
    for part in ("404 Invalid URL", str(WRONG), BadOption.remedy, "docs/errors.md#bad_option", "abc"):
        assert part in text


def test_an_error_without_a_reason_says_its_text() -> None:
    assert MissingSignature.text in said(MissingSignature(), "*/*")[1]


@pytest.mark.parametrize(
    ("accept", "problem", "page", "image"),
    [
        ("", False, False, False),
        ("*/*", False, False, False),
        (CHROME_PAGE, False, True, False),
        (CHROME_IMG, False, False, True),
        ("application/json;q=0, */*", False, False, False),
        ("Application/JSON;q=oops", False, False, False),
        ("text/html;q=0.1, application/problem+json;q=0.9", True, True, False),
        ("text/html, application/json;q=0.9", False, True, False),
        ("image/png, application/json", True, False, False),
        (",;,", False, False, False),
    ],
)
def test_accept(accept: str, problem: bool, page: bool, image: bool) -> None:
    ranges = accepts(accept)
    assert (wants_problem(ranges), wants_page(ranges), wants_image(ranges)) == (problem, page, image)


async def test_development_mode_over_http() -> None:
    answer = await ask(images(WRONG, development_errors_mode=True), accept=CHROME_PAGE)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["vary"] == "Accept"
    assert int(answer.headers["content-length"]) == len(answer.content)
