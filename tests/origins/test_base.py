"""The settings of the origins room."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from imgproxy.origins.base import OriginSettings


def test_defaults_are_imgproxys_but_for_private_addresses() -> None:
    settings = OriginSettings()
    assert settings.download_timeout == 5
    assert settings.max_redirects == 10
    assert settings.client_keep_alive_timeout == 90
    assert settings.user_agent.startswith("imgproxy/")
    assert not settings.allow_private_source_addresses
    assert not settings.allowed_sources


def test_values_are_words() -> None:
    settings = OriginSettings.model_validate(
        {"download_timeout": "500ms", "allowed_sources": "s3://, https://*.example.com/"}
    )
    assert settings.download_timeout == 0.5
    assert settings.allowed_sources == ("s3://", "https://*.example.com/")


def test_mistakes_are_reported_together(tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as caught:
        OriginSettings.model_validate(
            {
                "download_timeout": "0",
                "max_redirects": "-1",
                "allowed_sources": "example.com",
                "local_filesystem_root": str(tmp_path / "missing"),
            }
        )
    assert caught.value.error_count() == 4


@pytest.mark.parametrize("name", sorted(OriginSettings.model_fields))
def test_every_setting_is_documented(name: str) -> None:
    assert OriginSettings.model_fields[name].description


@pytest.mark.parametrize(
    "given",
    [
        {"dns_ttl": "4s"},
        {"dns_ttl": "61s"},
        {"connect_timeout": "0"},
        {"origin_share": "0"},
        {"origin_share": "101"},
        {"min_download_rate": "-1"},
    ],
)
def test_limits_have_limits(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        OriginSettings.model_validate(given)


def test_values_are_as_people_write_them() -> None:
    settings = OriginSettings.model_validate(
        {"dns_ttl": "1m", "connect_timeout": "500ms", "min_download_rate": "64KiB", "allowed_source_ports": "80, 8080"}
    )
    assert (settings.dns_ttl, settings.connect_timeout, settings.min_download_rate) == (60, 0.5, 65536)
    assert settings.allowed_source_ports == {80, 8080}
