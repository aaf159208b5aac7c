"""The error tree: everything that can go wrong with a request, by whose fault it was.

::

    ImageError
    ├── RequestError              the URL is wrong                          Invalid URL
    │   ├── InvalidUrl            404 invalid_url
    │   ├── BadOption             404 bad_option
    │   ├── UnknownPreset         404 unknown_preset
    │   ├── ExpiredUrl            404 expired_url
    │   ├── SourceForbidden       404 source_forbidden                     Invalid source URL
    │   ├── SourceLoop            403 source_loop                          Forbidden
    │   ├── OptionForbidden       403 option_forbidden
    │   ├── BadSignature          403 bad_signature                        Forbidden
    │   ├── OutsideToken          403 outside_token                        Forbidden
    │   ├── BadSecret             403 bad_secret                           Forbidden
    │   ├── MissingSignature      403 missing_signature                    (the hint itself)
    │   ├── MethodNotAllowed      405 method_not_allowed                   Method not allowed
    │   ├── UnsupportedFormat     422 unsupported_format
    │   └── ResultTooLarge        422 result_too_large
    ├── SourceError               the origin, or what it sent, is wrong     Source is unreachable
    │   ├── SourceUnreachable     404 source_unreachable
    │   ├── SchemeForbidden       404 scheme_forbidden
    │   ├── AddressForbidden      404 address_forbidden
    │   ├── PortForbidden         404 port_forbidden
    │   ├── TooManyRedirects      404 too_many_redirects
    │   ├── SourceRefused         4xx of the origin, or 502; source_refused
    │   ├── SourceTimeout         504 source_timeout
    │   ├── SourceBusy            503 source_busy
    │   ├── SourceResting         503 source_resting
    │   ├── SourceIncomplete      422 source_incomplete                    Source response is incomplete
    │   ├── SourceTooLarge        422 source_too_large                     Invalid source image
    │   ├── SourceTooExpensive    422 source_too_expensive                 Invalid source image
    │   ├── SourcePoisoned        422 source_poisoned                      Broken or unsupported image
    │   ├── UnknownImageType      422 unknown_image_type                   Failed to detect source image type
    │   └── BrokenImage           422 broken_image                         Broken or unsupported image
    └── RenderError               we cannot serve it now                    Internal error
        ├── QueueFull             429 queue_full                           Too many requests
        ├── RateLimited           429 rate_limited                         Too many requests
        ├── Overloaded            503 overloaded                           Overloaded
        ├── Draining              503 draining                             Shutting down
        ├── RenderTimeout         503 timeout                              Timeout
        ├── WorkerLost            503 worker_lost                          Rendering was interrupted
        ├── WatermarkMissing      503 watermark_missing                    Watermark is unavailable
        └── InternalError         500 internal

The statuses and public texts are imgproxy's (``docs/errors.md``). ``str(error)`` is the reason: it goes to the
log and to development mode, never to the public.
"""

from __future__ import annotations

import math
from typing import ClassVar


class ImageError(Exception):
    """A request that ends without an image: a status, a stable code, a public text and a private reason."""

    status: int = 500
    code: ClassVar[str] = "internal"
    text: str = "Internal error"
    kind: ClassVar[str] = "processing"
    """The ``type`` label of ``errors_total``: one of imgproxy's closed set."""
    remedy: ClassVar[str] = ""
    """What the caller can do about it, for development mode and ``docs/errors.md``."""
    retry_after: int | None = None
    """Seconds for ``Retry-After``, where trying again can help."""
    ended_process: bool = False
    """Whether a render process ended over this: it crashed, or had to be killed."""

    def __init__(self, reason: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        if retry_after is not None:
            self.retry_after = max(1, math.ceil(retry_after))


class RequestError(ImageError):
    """The URL is wrong; no origin was asked."""

    status = 404
    code = "invalid_url"
    text = "Invalid URL"
    kind = "path_parsing"


class InvalidUrl(RequestError):
    """The path does not follow the grammar."""

    remedy = "Write /<signature>/<options>/plain/<escaped source URL> or .../<base64url of the source URL>."


class BadOption(RequestError):
    """An option is unknown, has a bad argument, or is not allowed here."""

    code = "bad_option"
    remedy = "Correct the named option; docs/options.md lists each with its arguments and ranges."


class UnknownPreset(RequestError):
    """A preset that no preset list defines."""

    code = "unknown_preset"
    remedy = "Correct the name, or define the preset: in a file of IMGPROXY_PRESETS_DIR, or in IMGPROXY_PRESETS."


class ExpiredUrl(RequestError):
    """The URL's ``expires`` lies in the past, or its token's."""

    code = "expired_url"
    remedy = "Sign a new URL with a later expires timestamp, or make a new token."


class SourceForbidden(RequestError):
    """The source URL is not among IMGPROXY_ALLOWED_SOURCES."""

    code = "source_forbidden"
    text = "Invalid source URL"
    kind = "security"
    remedy = "Use an allowed source, or extend IMGPROXY_ALLOWED_SOURCES."


class SourceLoop(RequestError):
    """The request came from this server, or one with the same keys: its source is an image of its own."""

    status = 403
    code = "source_loop"
    text = "Forbidden"
    kind = "security"
    remedy = "Name the original, not an image of this server; another IMGPROXY_LOOP_ID tells servers apart."


class OptionForbidden(RequestError):
    """What a preset does not leave open to URLs, or a security option without IMGPROXY_ALLOW_SECURITY_OPTIONS."""

    status = 403
    code = "option_forbidden"
    kind = "security"
    remedy = (
        "Ask for what the preset leaves open (docs/presets.md), or drop the option; "
        "URLs may change limits where IMGPROXY_ALLOW_SECURITY_OPTIONS=true."
    )


class BadSignature(RequestError):
    """No key and salt pair gives this signature for this path, or this token."""

    status = 403
    code = "bad_signature"
    text = "Forbidden"
    kind = "security"
    remedy = (
        "Sign the path exactly as it is sent, percent-encoding included, or make a new token; "
        "`imgproxy explain URL` tells more."
    )


class OutsideToken(RequestError):
    """The token in the place of the signature is good, but for another preset or another source."""

    status = 403
    code = "outside_token"
    text = "Forbidden"
    kind = "security"
    remedy = "Name the token's preset, once, and a source that it was made for; `imgproxy explain URL` tells which."


class BadSecret(RequestError):
    """The Authorization header does not carry IMGPROXY_SECRET."""

    status = 403
    code = "bad_secret"
    text = "Forbidden"
    kind = "security"
    remedy = "Send `Authorization: Bearer <IMGPROXY_SECRET>`."


class MissingSignature(RequestError):
    """The signature segment looks like an option: the signature was forgotten."""

    status = 403
    code = "missing_signature"
    text = "Forbidden: the signature segment is missing, the first segment looks like an option"
    kind = "security"
    remedy = (
        "Put a signature (or, without keys, any word such as `unsafe`) before the options: /unsafe/rs:fit:300:200/..."
    )


class MethodNotAllowed(RequestError):
    """A method other than GET, HEAD and OPTIONS."""

    status = 405
    code = "method_not_allowed"
    text = "Method not allowed"
    remedy = "Use GET."


class UnsupportedFormat(RequestError):
    """The asked result format cannot be written here, or not from this source."""

    status = 422
    code = "unsupported_format"
    remedy = "Ask for jpeg, png, webp, gif, tiff or avif; svg only from an svg source."


class ResultTooLarge(RequestError):
    """The URL asks for more pixels than one result may have."""

    status = 422
    code = "result_too_large"
    kind = "image_data_size"
    remedy = (
        "Ask for a smaller size, dpr, zoom or padding, or set IMGPROXY_MAX_RESULT_DIMENSION to scale such results down."
    )


class SourceError(ImageError):
    """The origin, or the picture it sent, is at fault."""

    status = 404
    code = "source_unreachable"
    text = "Source is unreachable"
    kind = "download"


class SourceUnreachable(SourceError):
    """No connection: refused, unknown host, TLS failure, or an answer that is not one."""

    remedy = "Check that the source URL answers from the server's network."


class SchemeForbidden(SourceError):
    """The source URL, or a redirect, has a scheme that is unknown or switched off here, or none."""

    code = "scheme_forbidden"
    kind = "security"
    remedy = "Use http:// or https://, or local:// with IMGPROXY_LOCAL_FILESYSTEM_ROOT."


class AddressForbidden(SourceError):
    """The source's address is loopback, link-local, private or otherwise special, and not allowed."""

    code = "address_forbidden"
    kind = "security"
    remedy = "Set IMGPROXY_ALLOW_LOOPBACK_, _LINK_LOCAL_ or _PRIVATE_SOURCE_ADDRESSES=true if such origins are meant."


class PortForbidden(SourceError):
    """The source URL, or a redirect, names a port where no web server is, or none that is allowed here."""

    code = "port_forbidden"
    kind = "security"
    remedy = "Serve the source on another port, or add the port to IMGPROXY_ALLOWED_SOURCE_PORTS."


class TooManyRedirects(SourceError):
    """The origin redirected more often than IMGPROXY_MAX_REDIRECTS."""

    code = "too_many_redirects"
    remedy = "Use the final URL, or raise IMGPROXY_MAX_REDIRECTS."


class SourceRefused(SourceError):
    """The origin answered with an error: its 4xx is passed on, a 5xx becomes 502."""

    code = "source_refused"
    remedy = "Ask for the source URL yourself; the status of the answer is the origin's."

    def __init__(self, origin_status: int, *, retry_after: float | None = None) -> None:
        super().__init__(f"the origin answered {origin_status}", retry_after=retry_after)
        self.origin_status = origin_status
        self.status = origin_status if 400 <= origin_status < 500 else 502 if origin_status >= 500 else 404


class SourceTimeout(SourceError):
    """The source did not arrive within IMGPROXY_DOWNLOAD_TIMEOUT."""

    status = 504
    code = "source_timeout"
    kind = "timeout"
    remedy = "Make the origin faster or raise IMGPROXY_DOWNLOAD_TIMEOUT."


class SourceBusy(SourceError):
    """As many downloads from this origin wait as may: it is slower than what is asked of it."""

    status = 503
    code = "source_busy"
    retry_after: int | None = 1
    remedy = "Try again; make the origin faster, or add nodes."


class SourceResting(SourceError):
    """The origin failed several times in a row, or asked for a pause: it is left alone for a moment."""

    status = 503
    code = "source_resting"
    retry_after: int | None = 1
    remedy = "Try again; the server's log names what the origin did."


class SourceIncomplete(SourceError):
    """The body is shorter than the origin announced."""

    status = 422
    code = "source_incomplete"
    text = "Source response is incomplete"
    remedy = "The origin or a proxy before it cut the answer short; ask again."


class SourceTooLarge(SourceError):
    """The source exceeds a limit on bytes, pixels or frames."""

    status = 422
    code = "source_too_large"
    text = "Invalid source image"
    kind = "image_data_size"
    remedy = "Use a smaller original, or raise IMGPROXY_MAX_SRC_RESOLUTION or IMGPROXY_MAX_SRC_FILE_SIZE."


class SourceTooExpensive(SourceError):
    """By its header, rendering the source would take more memory or time than a render process may use."""

    status = 422
    code = "source_too_expensive"
    text = "Invalid source image"
    kind = "image_data_size"
    remedy = "Use a smaller or simpler original, or raise IMGPROXY_WORKER_MEMORY or IMGPROXY_MAX_SVG_SIZE."


class SourcePoisoned(SourceError):
    """The source has ended render processes: it is refused for an hour."""

    status = 422
    code = "source_poisoned"
    text = "Broken or unsupported image"
    remedy = "Replace the original; a purge of the source lets it in again at once."


class UnknownImageType(SourceError):
    """The first bytes are of no image format known here."""

    status = 422
    code = "unknown_image_type"
    text = "Failed to detect source image type"
    kind = "processing"
    remedy = "Check that the source URL answers with an image, not with a web page."


class BrokenImage(SourceError):
    """The decoder refused the image: broken, cut short or of an unsupported kind."""

    status = 422
    code = "broken_image"
    text = "Broken or unsupported image"
    kind = "processing"
    remedy = "Open the original in an image editor and save it again."


class RenderError(ImageError):
    """The server cannot serve the image now."""

    kind = "processing"


class QueueFull(RenderError):
    """More requests wait for a render process than IMGPROXY_REQUESTS_QUEUE_SIZE allows."""

    status = 429
    code = "queue_full"
    text = "Too many requests"
    kind = "queue"
    retry_after: int | None = 1
    remedy = "Try again; add nodes, or raise IMGPROXY_REQUESTS_QUEUE_SIZE."


class RateLimited(RenderError):
    """One client, or one key, asks for more than it may."""

    status = 429
    code = "rate_limited"
    text = "Too many requests"
    kind = "queue"
    retry_after: int | None = 1
    remedy = "Ask less often, or raise IMGPROXY_CLIENT_RATE or IMGPROXY_KEY_RATE."


class Overloaded(RenderError):
    """The image could not be made before its deadline, or there is no memory for it: refused before any work."""

    status = 503
    code = "overloaded"
    text = "Overloaded"
    kind = "queue"
    retry_after: int | None = 1
    remedy = "Try again; add nodes."


class Draining(RenderError):
    """The server is shutting down and takes no new work."""

    status = 503
    code = "draining"
    text = "Shutting down"
    kind = "queue"
    retry_after: int | None = 1
    remedy = "Try again; another node will answer."


class RenderTimeout(RenderError):
    """The request did not end within IMGPROXY_TIMEOUT; its render process was killed."""

    status = 503
    code = "timeout"
    text = "Timeout"
    kind = "timeout"
    retry_after: int | None = 1
    remedy = "Ask for a smaller or simpler result, or raise IMGPROXY_TIMEOUT."


class WorkerLost(RenderError):
    """The render process died over this request; a new one has taken its place."""

    status = 503
    code = "worker_lost"
    text = "Rendering was interrupted"
    retry_after: int | None = 1
    from_outside: bool = False
    """Whether somebody else ended it: an operator, or a machine out of memory."""
    remedy = "Try again; if it fails every time, the source crashes the decoder."


class WatermarkMissing(RenderError):
    """The watermark cannot be fetched or decoded."""

    status = 503
    code = "watermark_missing"
    text = "Watermark is unavailable"
    retry_after: int | None = 1
    remedy = "Check what IMGPROXY_WATERMARK_URL, _PATH or _DATA gives."


class InternalError(RenderError):
    """A mistake of ours."""

    remedy = "Report it with the request id; the reason is in the server's log."
