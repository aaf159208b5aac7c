"""The border between httpx' words for a failed fetch and ours."""

from __future__ import annotations

import asyncio
import errno
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import aiohttp
import httpx

from imgproxy.errors import (
    AddressForbidden,
    InvalidUrl,
    Overloaded,
    RenderTimeout,
    SchemeForbidden,
    SourceError,
    SourceIncomplete,
    SourceTimeout,
    SourceUnreachable,
    TooManyRedirects,
)
from imgproxy.origins.guard import AddressRefused

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator

    from imgproxy.errors import ImageError
    from imgproxy.model import Deadline


class Mistrusted(httpx.ConnectError):
    """The origin cannot prove that it is who it should be: its certificate is expired, of another name or unknown."""


class Nameless(httpx.ConnectError):
    """The origin's name has no address."""


class Dropped(httpx.RemoteProtocolError):
    """The connection ended before an answer began."""


# The nearest ancestor counts; a test asks that each class of httpx is decided here on purpose.
_OURS: dict[type[BaseException], type[SourceError | InvalidUrl]] = {
    httpx.InvalidURL: InvalidUrl,
    httpx.UnsupportedProtocol: SchemeForbidden,
    httpx.TimeoutException: SourceTimeout,
    httpx.ReadError: SourceIncomplete,  # our transports raise it for bodies only
    httpx.TooManyRedirects: TooManyRedirects,
    httpx.NetworkError: SourceUnreachable,
    httpx.ProtocolError: SourceUnreachable,
    httpx.ProxyError: SourceUnreachable,
    httpx.DecodingError: SourceUnreachable,
    httpx.HTTPStatusError: SourceUnreachable,
    httpx.HTTPError: SourceUnreachable,
    aiohttp.ClientError: SourceUnreachable,
    UnicodeError: InvalidUrl,  # idna
}
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


def translated(error: BaseException) -> ImageError:
    """Our exception for one of httpx', aiohttp's or idna's."""
    for cause in _causes(error):
        if isinstance(cause, AddressRefused):
            return AddressForbidden(f"the origin's address is {cause.kind}, which is not allowed")
        if isinstance(cause, OSError) and cause.errno in _NO_DESCRIPTORS:
            return Overloaded("there are no descriptors left")
    ours = next(_OURS[type_] for type_ in type(error).__mro__ if type_ in _OURS)
    # Only our transports' texts are known to hold no URL.
    return ours(str(error) if isinstance(error, httpx.TransportError) else type(error).__name__)


def is_connection_failure(error: BaseException) -> bool:
    """Whether nothing was asked, because no connection came about: the origin's fault, whatever the URL was."""
    return _stems_from(error, httpx.ConnectError, httpx.ConnectTimeout) and not is_settled(error)


def is_settled(error: BaseException) -> bool:
    """Whether asking again would end the same, though the origin may be well: its address or certificate is refused."""
    return _stems_from(error, AddressRefused, Mistrusted)


def _stems_from(error: BaseException, *types: type[BaseException]) -> bool:
    return any(isinstance(cause, types) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and what led to it."""
    cause: BaseException | None = error
    while cause:
        yield cause
        cause = cause.__cause__ or cause.__context__


@contextmanager
def our_errors() -> Generator[None]:
    """Foreign exceptions become ours on the way out."""
    try:
        yield
    except tuple(_OURS) as error:
        raise translated(error) from error
    except OSError as error:
        if error.errno not in _NO_DESCRIPTORS:
            raise
        raise Overloaded("there are no descriptors left") from error


@asynccontextmanager
async def time_limit(deadline: Deadline, seconds: float) -> AsyncGenerator[None]:
    """Ends what is inside with SourceTimeout, or with RenderTimeout if the request's deadline did."""
    end = deadline.sooner(seconds)
    limit = asyncio.timeout(end.remaining)
    try:
        async with limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        if end == deadline:
            raise RenderTimeout("the time was up while the source was fetched") from None
        raise SourceTimeout(f"the origin took longer than {seconds:g} s") from None
