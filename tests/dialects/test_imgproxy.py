"""imgproxy's grammar: the vectors of ``imgproxy.toml``, and what they cannot say."""

from __future__ import annotations

import base64
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from imgproxy.dialects.imgproxy import Dialect, DialectSettings, repair
from imgproxy.errors import BadOption, InvalidUrl, RequestError
from imgproxy.options import Options
from tests.options.strategies import option_sets

VECTORS: dict[str, list[dict[str, Any]]] = tomllib.loads(
    (Path(__file__).parent / "imgproxy.toml").read_text(encoding="utf-8")
)


def vectors(kind: str, field: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", [pytest.param(each, id=each[field] or "empty") for each in VECTORS[kind]])


def dialect(vector: dict[str, Any]) -> Dialect:
    return Dialect(DialectSettings.model_validate(vector.get("settings", {})))


@vectors("read", "path")
def test_read(vector: dict[str, Any]) -> None:
    if reason := vector.get("error"):
        with pytest.raises(RequestError) as caught:
            dialect(vector).read(vector["path"])
        assert reason in str(caught.value)
        assert caught.value.status == 404
        return
    request = dialect(vector).read(vector["path"])
    assert request.source.url == vector["source"]
    assert str(Options().merge(request.settings)) == vector.get("options", "")


@vectors("repair", "sent")
def test_repair(vector: dict[str, Any]) -> None:
    assert repair(vector["sent"]) == vector["path"]


@vectors("split", "target")
def test_split(vector: dict[str, Any]) -> None:
    if reason := vector.get("error"):
        with pytest.raises(InvalidUrl, match=reason):
            dialect(vector).split(vector["target"])
        return
    found = dialect(vector).split(vector["target"])
    assert (found.signature, found.path) == (vector["signature"], vector["path"])


urls = st.text(min_size=1).filter(lambda text: not text.startswith("%"))


@given(urls, option_sets, st.sampled_from(("", "png", "jpg")), st.integers(1, 20))
def test_every_source_and_set_of_options_can_be_written(url: str, options: Options, extension: str, chunk: int) -> None:
    encoded = base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
    chunks = "/".join(encoded[at : at + chunk] for at in range(0, len(encoded), chunk))
    plain = "plain/" + quote(url, safe="")
    head = f"/{options}" if options.asked else ""
    for source, end in ((chunks, f".{extension}"), (plain, f"@{extension}")):
        request = Dialect().read(f"{head}/{source}{end if extension else ''}")
        assert request.source.url == url
        if not extension:
            assert Options().merge(request.settings) == options


@given(st.text(st.characters(max_codepoint=255)))
def test_any_target_is_read_or_refused(text: str) -> None:
    for settings in (DialectSettings(), DialectSettings(only_presets=True, base64_url_includes_filename=True)):
        asked = Dialect(settings)
        try:
            asked.read(asked.split("/" + text).path)
        except RequestError:
            continue


@given(st.text(st.characters(max_codepoint=255)))
def test_a_repaired_path_is_left_alone(path: str) -> None:
    assert repair(repair(path)) == repair(path)


def test_replacements_are_checked() -> None:
    for text in ("nothing", "=x"):
        with pytest.raises(ValidationError, match="pattern=replacement"):
            DialectSettings.model_validate({"url_replacements": text})
    assert DialectSettings(url_replacements=(("a", "b"),)).url_replacements == (("a", "b"),)
    with pytest.raises(ValidationError, match="expected one of"):
        DialectSettings(arguments_separator="")


def test_what_follows_the_last_at_sign_is_quoted_only_if_it_could_be_a_format() -> None:
    with pytest.raises(BadOption, match="unknown result format 'bmp2'"):
        Dialect().read("/plain/http://example.com/a@bmp2")
    with pytest.raises(BadOption) as caught:
        Dialect().read("/plain/http://user:pw@example.com/a%3Ftoken=SECRET")
    assert "SECRET" not in str(caught.value)
    assert "%40" in str(caught.value)
