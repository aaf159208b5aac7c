from __future__ import annotations

import base64
from pathlib import Path

import pytest

from imgproxy import settings
from imgproxy.settings import ROOMS, BadSettings, Settings, names

KEY, SALT = "6b6579", "73616c74"


def read(**given: str) -> Settings:
    """``ttl="60"`` is IMGPROXY_TTL."""
    return Settings.read({f"IMGPROXY_{name.upper()}": value for name, value in given.items()})


def mistakes(**given: str) -> str:
    with pytest.raises(BadSettings) as caught:
        read(**given)
    return str(caught.value)


def test_nothing_needs_to_be_set() -> None:
    found = Settings.read({})
    assert found.web.bind == ":8080"
    assert found.signing.key == ()
    assert found.warnings == ()


def test_a_field_is_a_variable() -> None:
    found = read(ttl="60", key=KEY, salt=SALT, max_redirects="3", auto_webp="t", timeout="500ms", log_level="warn")
    assert (found.freshness.ttl, found.web.timeout) == (60, 0.5)
    assert found.signing.key == (b"key",)
    assert found.origin.max_redirects == 3
    assert found.negotiation.auto_webp
    assert found.log.log_level == "warn"


def test_the_process_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGPROXY_TTL", "77")
    assert Settings.read().freshness.ttl == 77


def test_every_variable_belongs_to_one_room() -> None:
    found = [
        each for room in ROOMS.values() for name, field in room.model_fields.items() for each in names(name, field)
    ]
    assert len(found) == len(set(found))


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = mistakes(
        ttl="soon",
        timeout="0",
        max_redirects="-1",
        auto_webp="yes",
        key="xyz",
        bind="nowhere",
        log_level="loud",
        presets="a=nosuch:1,b=pr:missing",
        local_filesystem_root=str(tmp_path / "missing"),
    )
    lines = text.splitlines()
    for name in ("TTL", "TIMEOUT", "MAX_REDIRECTS", "AUTO_WEBP", "KEY", "BIND", "LOG_LEVEL", "LOCAL_FILESYSTEM_ROOT"):
        assert [line for line in lines if line.startswith(f"IMGPROXY_{name}: ")], name
    assert "preset 'a'" in text
    assert "preset 'b' uses 'missing'" in text


def test_a_mistake_between_two_settings_names_both() -> None:
    assert mistakes(key=f"{KEY},{KEY}", salt=SALT) == (
        "IMGPROXY_KEY has 2 keys and IMGPROXY_SALT 1 salts: give one salt per key"
    )


def test_a_missing_presets_file_is_a_mistake(tmp_path: Path) -> None:
    found = mistakes(presets_path=str(tmp_path / "missing.txt"), presets="a=w:x")
    assert "IMGPROXY_PRESETS_PATH: No such file or directory" in found
    assert "IMGPROXY_PRESETS, preset 1" in found  # the other mistakes are not hidden by it
    (tmp_path / "odd.txt").write_bytes(b"a=w:1\xff")
    assert "is not UTF-8" in mistakes(presets_path=str(tmp_path / "odd.txt"))


def test_presets_come_from_the_variable_and_the_file(tmp_path: Path) -> None:
    (tmp_path / "presets").write_text("# ours\nsmall = w:30\n\n")
    found = read(presets="tiny=w:3", presets_path=str(tmp_path / "presets"))
    assert found.presets.names == ("small", "tiny")
    assert read(presets="tiny=w_3", arguments_separator="_").presets.names == ("tiny",)


@pytest.mark.parametrize(
    ("unknown", "meant"),
    [("IMGPROXY_TTLL", "IMGPROXY_TTL"), ("IMGPROXY_MAX_REDIRECT", "IMGPROXY_MAX_REDIRECTS"), ("IMGPROXY_CAT", "")],
)
def test_unknown_names_are_warned_of(unknown: str, meant: str) -> None:
    (warning,) = Settings.read({unknown: "1", "UNRELATED": "1"}).warnings
    assert warning.startswith(f"{unknown} is not a setting")
    assert warning.endswith(f"did you mean {meant}?") == bool(meant)


def test_old_names_still_work() -> None:
    found = read(enable_webp_detection="1", enable_avif_detection="true")
    assert (found.negotiation.auto_webp, found.negotiation.auto_avif) == (True, True)
    assert found.warnings == ()
    assert not read(auto_webp="0", enable_webp_detection="1").negotiation.auto_webp


def test_an_empty_variable_is_not_set() -> None:
    assert read(ttl="", max_redirects="", key="").freshness.ttl == 31536000


def test_a_file_of_variables_lies_under_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text(
        f"# ours\nIMGPROXY_TTL=5\nIMGPROXY_QUALITY='70'\nexport IMGPROXY_KEY={KEY}\nIMGPROXY_SALT={SALT}\nX\n"
    )
    found = read(env_local_file_path=str(file), ttl="6")
    assert (found.freshness.ttl, found.plan.quality, found.signing.salt) == (6, 70, (b"salt",))
    assert found.warnings == ()
    assert "there is no file" in mistakes(env_local_file_path=str(tmp_path / "missing"))


def test_port_stands_in_for_bind(tmp_path: Path) -> None:
    assert Settings.read({"PORT": "81"}).web.bind == ":81"
    assert Settings.read({"PORT": "81", "IMGPROXY_BIND": ":82"}).web.bind == ":82"
    with pytest.raises(BadSettings, match="IMGPROXY_BIND"):
        Settings.read({"PORT": "eighty"})
    (tmp_path / "env").write_text("IMGPROXY_BIND=:83\n")
    found = Settings.read({"PORT": "81", "IMGPROXY_ENV_LOCAL_FILE_PATH": str(tmp_path / "env")})
    assert found.web.bind == ":83"


SECRETS = {
    "key": "943b421c9eb07c83",
    "salt": "520f986b998545b4",
    "secret": "open-sesame",
    "trusted_signatures": "hush-hush",
    "watermark_data": base64.b64encode(b"GIF89a a private watermark").decode(),
}


def test_secrets_are_never_printed() -> None:
    text = repr(read(**SECRETS))
    for secret in SECRETS.values():
        assert secret not in text
    assert "private watermark" not in text
    assert repr(bytes.fromhex(SECRETS["key"])) not in text


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_in_no_error(name: str) -> None:
    given = SECRETS | {name: SECRETS[name] + "\u00e9!", "ttl": "nonsense"}
    text = mistakes(**given)
    assert "IMGPROXY_TTL" in text
    for secret in SECRETS.values():
        assert secret not in text


def test_what_a_field_says_of_itself() -> None:
    field = ROOMS["pool"].model_fields["workers"]
    assert settings.extras(field)["imgproxy"] == "2 per CPU"
    assert settings.variable("workers") == "IMGPROXY_WORKERS"


def test_presets_with_security_options_need_their_permission() -> None:
    assert "preset 'default' uses security options" in mistakes(presets="default=msr:10")
    assert read(presets="default=msr:10", allow_security_options="1").presets.names == ("default",)


@pytest.mark.parametrize("status", ["50", "103", "204", "304", "600"])
def test_a_fallback_image_needs_a_status_that_can_carry_it(status: str) -> None:
    assert "IMGPROXY_FALLBACK_IMAGE_HTTP_CODE" in mistakes(fallback_image_http_code=status)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        *(("max_src_resolution", value, "finite number") for value in ("inf", "nan")),
        ("max_src_resolution", "1e308", "expected a number up to"),
        ("max_animation_frame_resolution", "inf", "finite number"),
        ("timeout", "9" * 400, "expected a duration from"),
        *(("health_check_path", value, "expected a path such as") for value in ("/{x:foo}", "/{x:path}", "/a b", "€")),
        *(("path_prefix", value, "expected a path such as") for value in ("/{x}", "/a?b", "/€")),
        *(("secret", value, "expected visible ASCII") for value in ("two words", "line\n", "€")),
        *(("user_agent", value, "expected visible ASCII") for value in ("a\r\nb: c", "€", " ")),
        *(("arguments_separator", value, "expected one of") for value in ("/", "a", ",1", "?", "%", "€", " ")),
        *(("worker_memory", value, 'expected a size from "128MiB"') for value in ("1", "127MiB", "1025GiB")),
        ("worker_memory", "9" * 30, "expected a number up to"),
        ("workers", "100000", "expected at most"),
    ],
)
def test_what_no_server_could_live_with_is_refused_by_name(name: str, value: str, told: str) -> None:
    found = mistakes(**{name: value})
    assert found.startswith(f"IMGPROXY_{name.upper()}: ")
    assert told in found
    assert "\n" not in found


def test_presets_in_a_circle_are_refused() -> None:
    assert mistakes(presets="a=pr:b,b=pr:a").startswith("IMGPROXY_PRESETS, preset 1: preset 'a' uses itself")


@pytest.mark.parametrize("name", ["watermark", "fallback_image"])
@pytest.mark.parametrize(
    ("url", "given", "told"),
    [
        ("garbage", {}, "no scheme"),
        ("file:///etc/passwd", {}, "file:// is not a source here"),
        ("local:///mark.png", {}, "local:// is not a source here"),
        ("http://169.254.169.254/", {}, "the origin's address is metadata"),
        ("http://10.0.0.1/", {}, "the origin's address is private"),
        ("http://[::1]/", {}, "the origin's address is loopback"),
        ("https://example.com:22/", {}, "port 22"),
        ("https://example.com/a.png", {"allowed_sources": "https://other.test/"}, "not among the allowed sources"),
    ],
)
def test_a_picture_that_no_origin_serves_is_refused(name: str, url: str, given: dict[str, str], told: str) -> None:
    found = mistakes(**{f"{name}_url": url}, **given)
    assert found.startswith(f"IMGPROXY_{name.upper()}_URL: ")
    assert told in found
    assert found.endswith(f"or a file in IMGPROXY_{name.upper()}_PATH")


def test_a_picture_that_an_origin_may_serve_is_not_asked_for_yet(tmp_path: Path) -> None:
    for url in ("https://example.com/a.png", "http://10.0.0.1/", "local:///missing.png"):
        given = {"allow_private_source_addresses": "1", "local_filesystem_root": str(tmp_path)}
        assert read(watermark_url=url, **given).configured.watermark_url == url
