from __future__ import annotations

import pytest

from imgproxy.configuration.incumbent import VARIABLES, find
from imgproxy.settings import PREFIX, known

OURS = {name.removeprefix(PREFIX) for name in known()}


@pytest.mark.parametrize("name", ["S3_REGION", "CACHE_S3_ASSUME_ROLE_ARN", "AUTO_JXL", "MALLOC", "LICENSE_KEY"])
def test_what_imgproxy_has_is_known(name: str) -> None:
    found = find(name)
    assert found is not None
    assert found.text


def test_what_nobody_has_is_not() -> None:
    assert find("NO_SUCH_THING") is None


def test_no_setting_of_ours_is_listed() -> None:
    assert [each.pattern for each in VARIABLES if each.pattern in OURS] == []


def test_each_row_can_be_reached() -> None:
    for each in VARIABLES:
        assert find(each.pattern.replace("*", "X")) is each, each.pattern


def test_what_a_row_sends_people_to_is_there() -> None:
    named = {word.strip(".,:`)") for each in VARIABLES for word in each.text.replace("=", " ").split()}
    variables = {word.removeprefix(PREFIX) for word in named if word.startswith(PREFIX)} - {"ENV_LOCAL_FILE_PATH"}
    assert variables
    assert variables <= OURS
