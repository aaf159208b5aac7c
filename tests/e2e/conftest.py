"""What the tests of whole servers share: an origin for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.origin import Pictures, pictures

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def origin() -> Iterator[Pictures]:
    with pictures() as it:
        yield it
