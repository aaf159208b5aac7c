"""No exception of httpx, aiohttp or idna gets past the origins room as it is."""

from __future__ import annotations

import errno

import aiohttp
import httpx
import pytest

from imgproxy.errors import (
    AddressForbidden,
    ImageError,
    InvalidUrl,
    Overloaded,
    SourceIncomplete,
    SourceTimeout,
    SourceUnreachable,
)
from imgproxy.origins.failures import our_errors, translated
from imgproxy.origins.guard import AddressRefused


def family(base: type[BaseException]) -> list[type[BaseException]]:
    return [base] + [one for child in base.__subclasses__() for one in family(child)]


def instance(type_: type[BaseException]) -> BaseException:
    error = type_.__new__(type_)
    error.args = ("http://user:secret@host/?token=secret",)
    return error


@pytest.mark.parametrize("type_", sorted({*family(httpx.HTTPError), httpx.InvalidURL}, key=str))
def test_every_error_of_httpx_is_mapped(type_: type[BaseException]) -> None:
    with pytest.raises(ImageError) as caught, our_errors():
        raise instance(type_)
    assert caught.value.status in (404, 422, 504)
    assert (type(caught.value) is SourceTimeout) == issubclass(type_, httpx.TimeoutException)


@pytest.mark.parametrize("type_", sorted(set(family(aiohttp.ClientError)), key=str))
def test_every_error_of_aiohttp_is_mapped(type_: type[BaseException]) -> None:
    error = translated(instance(type_))
    assert isinstance(error, SourceUnreachable)
    assert "secret" not in str(error)


def test_names_that_idna_refuses_are_the_urls_fault() -> None:
    with pytest.raises(InvalidUrl), our_errors():
        "a..b".encode("idna")


def test_bodies_that_break_off_are_incomplete() -> None:
    assert isinstance(translated(httpx.ReadError("x")), SourceIncomplete)


def test_a_refused_address_is_found_behind_other_errors() -> None:
    inner, outer = aiohttp.ClientError(), httpx.ConnectError("x")
    outer.__cause__, inner.__context__ = inner, AddressRefused("private")
    error = translated(outer)
    assert isinstance(error, AddressForbidden)
    assert "private" in str(error)


def test_our_own_errors_and_bugs_pass() -> None:
    with pytest.raises(KeyError), our_errors():
        raise KeyError
    with pytest.raises(SourceIncomplete), our_errors():
        raise SourceIncomplete("x")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_that_descriptors_run_out_is_not_the_origins_fault(number: int) -> None:
    with pytest.raises(Overloaded), our_errors():
        raise OSError(number, "too many open files")
    refused = httpx.ConnectError("cannot connect")
    refused.__cause__ = OSError(number, "too many open files")
    assert isinstance(translated(refused), Overloaded)
    with pytest.raises(OSError, match="other"), our_errors():
        raise OSError(errno.EIO, "other")
