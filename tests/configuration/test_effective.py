from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from imgproxy.configuration.effective import Effective, effective, shown, unknown, written
from imgproxy.formats import JPEG, PNG
from imgproxy.settings import ROOMS, BadSettings, Settings, variables


def found(**given: str) -> dict[str, Effective]:
    """The settings by name, lower-case and without the prefix."""
    environment = {f"IMGPROXY_{name.upper()}": value for name, value in given.items()}
    settings = effective(variables(environment))
    return {each.name.removeprefix("IMGPROXY_").lower(): each for each in settings}


def test_where_values_come_from(tmp_path: Path) -> None:
    file = tmp_path / "production.env"
    file.write_text("IMGPROXY_TTL=60\nIMGPROXY_QUALITY=70\nOTHER=1\n")
    given = variables({"IMGPROXY_ENV_LOCAL_FILE_PATH": str(file), "IMGPROXY_QUALITY": "75", "PORT": "81", "PATH": "/"})
    by_name = {each.name: each for each in effective(given)}
    assert (by_name["IMGPROXY_TTL"].value, by_name["IMGPROXY_TTL"].place) == ("60", str(file))
    assert (by_name["IMGPROXY_QUALITY"].value, by_name["IMGPROXY_QUALITY"].place) == ("75", "environment")
    assert (by_name["IMGPROXY_BIND"].value, by_name["IMGPROXY_BIND"].place) == (":81", "PORT")
    assert (by_name["IMGPROXY_TIMEOUT"].value, by_name["IMGPROXY_TIMEOUT"].place) == ("10", "default")
    assert set(given) == {"IMGPROXY_TTL", "IMGPROXY_QUALITY", "IMGPROXY_BIND"}


def test_a_file_that_is_missing() -> None:
    with pytest.raises(BadSettings, match="there is no file /nowhere"):
        variables({"IMGPROXY_ENV_LOCAL_FILE_PATH": "/nowhere"})


def test_every_setting_is_there_with_its_meaning() -> None:
    settings = found()
    assert len(settings) > 100
    assert all(each.about for each in settings.values())
    assert not any(each.changed for each in settings.values())


@pytest.mark.parametrize(
    ("name", "value", "changed"),
    [
        ("memory_cache_size", "64MiB", False),
        ("memory_cache_size", "65MiB", True),
        ("quality", "eighty", True),
        ("auto_webp", "f", False),
        ("enable_webp_detection", "1", True),
    ],
)
def test_what_counts_as_changed(name: str, value: str, *, changed: bool) -> None:
    settings = found(**{name: value})
    assert settings[name.replace("enable_webp_detection", "auto_webp")].changed is changed


def test_secrets_are_masked() -> None:
    given = {
        "key": "0badcafe",
        "salt": "0badcafe",
        "redis_url": "redis://:0badcafe@localhost",
        "secret": "0badcafe",
        "trusted_signatures": "0badcafe",
        "base_url": "https://user:0badcafe@example.com/",
        "admin_token": "0badcafe",
    }
    settings = found(**given)
    assert "0badcafe" not in repr(settings)
    assert settings["secret"].value == "***"
    assert settings["base_url"].value == "https://***@example.com/"
    assert found()["secret"].value == ""


def test_long_values_are_cut() -> None:
    assert shown("A" * 1000) == "A" * 40 + "… (1000 characters)"


def test_imgproxys_default_where_ours_differs() -> None:
    settings = found()
    assert settings["allow_private_source_addresses"].imgproxy == "true"
    assert settings["avif_speed"].imgproxy == "8"
    assert settings["avif_speed"].why
    assert settings["ttl"].imgproxy is None
    assert settings["ttl"].as_dict()["default"] == "31536000"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (SecretStr("x"), ""),
        (True, "true"),
        (0.5, "0.5"),
        ((JPEG, PNG), "jpeg,png"),
        ((("webp", 79), ("avif", 63)), "webp=79,avif=63"),
        (frozenset[int](), ""),
        (Path("/x"), "/x"),
    ],
)
def test_values_as_they_are_written(value: object, text: str) -> None:
    assert written(value) == text


def test_the_defaults_mean_what_they_say() -> None:
    # Whoever copies a default into his environment gets what he had.
    texts = {each.name: each.default for each in found().values() if each.default}
    copied, usual = Settings.read(texts), Settings.read({})
    assert [room for room in ROOMS if getattr(copied, room) != getattr(usual, room)] == []


@pytest.mark.parametrize(
    ("name", "text", "harmless"),
    [
        ("TTLL", "did you mean IMGPROXY_TTL?", False),
        ("SENTRY_DSN", "imgproxy's; unsupported here: ", False),
        ("LICENSE_KEY", "imgproxy's; not needed here: ", True),
        ("NO_SUCH_THING_AT_ALL", "no setting of this server, nor of imgproxy", False),
        ("SVG_UNLIMITED", "imgproxy's; renamed here: IMGPROXY_MAX_SVG_SIZE", False),
    ],
)
def test_unknown_variables(name: str, text: str, *, harmless: bool) -> None:
    (only,) = unknown(variables({f"IMGPROXY_{name}": "1", "IMGPROXY_TTL": "1"}))
    assert only.name == f"IMGPROXY_{name}"
    assert only.text.startswith(text)
    assert only.harmless is harmless
    assert only.as_dict()["name"] == only.name
