"""What development mode proposes instead of a URL that failed, and to whom it says so signed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgproxy.corrections import Diagnosis, diagnose
from imgproxy.fields import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imgproxy.dialects.imgproxy import Dialect
    from imgproxy.errors import ImageError
    from imgproxy.readings import Rules

_PASSED_ON = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
_OURS = ("", "none", "same-origin", "same-site")


@dataclass(frozen=True, slots=True)
class Advice:
    """What there is to say about a URL that failed."""

    diagnosis: Diagnosis
    link: str = ""
    """The target that would be good, signed; empty if there is none, or none for this client."""


NO_ADVICE = Advice(Diagnosis())


class Advising:
    """Looks into URLs that failed. ``rules`` are the keys and presets as they are now."""

    def __init__(self, dialect: Dialect, rules: Callable[[], Rules]) -> None:
        self._dialect = dialect
        self._rules = rules

    def on(self, target: str, error: ImageError, peer: str | None, headers: Mapping[str, str]) -> Advice:
        """The advice for a request; ``headers`` by lower-case name."""
        rules, host = self._rules(), headers.get("host", "")
        found = diagnose(self._dialect, rules, target, error, host)
        link = self._dialect.prefix.rstrip("/") + rules.signer.sign(found.path) if found.path else ""
        if not link.isascii() or (rules.signer.pairs and not is_at_this_machine(peer, headers)):
            link = ""
        return Advice(found, link)


def is_at_this_machine(peer: str | None, headers: Mapping[str, str]) -> bool:
    """Whether whoever asks sits at this machine, as far as that can be known.

    To others a server that signs what it is asked for gives its key away, as far as they care. So: no proxy in between,
    which would make everybody a neighbour; and no page of another site, whose script a browser here runs, neither by
    its own name nor by one that was made to lead here.
    """
    host = headers.get("host", "").lower()
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    return (
        peer is not None
        and is_loopback(peer)
        and is_loopback(name)
        and not any(each in headers for each in _PASSED_ON)
        and "origin" not in headers
        and headers.get("sec-fetch-site", "") in _OURS
    )
