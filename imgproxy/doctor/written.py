"""Checks of what the settings say: keys, signatures, sources, presets."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from imgproxy.doctor.finding import Finding, bad, warning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from imgproxy.presets import Presets
    from imgproxy.settings import Settings
    from imgproxy.signing import SigningSettings

_SHORT_KEY = 16
"""Bytes."""
_FEW_VALUES = 8
"""Different bytes in a key of random ones: 32 of them have fewer once in 10^25 times."""
_NEW_KEY = (
    "`openssl rand -hex 32` makes a new one; the old one may stay before it, after a comma, until its URLs are gone."
)
# What documentation and tutorials sign with; everybody who tries keys tries these first.
_SAMPLES = tuple(
    map(
        bytes.fromhex,
        (
            "943b421c9eb07c830af81030552c86009268de4e532ba2ee2eab8247c6da0881",
            "520f986b998545b4785e0defbc4f3c1203f22de2374a3d53cb7a7fe9fea309c5",
            "736563726574",
            "68656c6c6f",
        ),
    )
)


def findings(settings: Settings) -> Iterator[Finding]:
    """All that can be told by reading them."""
    for text in settings.warnings:
        yield warning("settings", text, "Correct or remove the variable; `imgproxy config` lists all of them.")
    if not settings.warnings:
        yield Finding("settings", "all variables are understood")
    yield _keys(settings.signing)
    if settings.signing.signature_size < _SHORT_KEY:
        text = f"{settings.signing.signature_size} bytes: few enough to be found by trying"
        yield bad("signatures", text, "Set IMGPROXY_SIGNATURE_SIZE to 16 or more.")
    else:
        yield Finding("signatures", f"{settings.signing.signature_size} bytes")
    allowed = settings.origin.allowed_sources
    yield Finding("allowed sources", ", ".join(allowed) or "any public one; IMGPROXY_ALLOWED_SOURCES can name yours")
    yield presets(settings.presets, datetime.now(UTC).date())


def _keys(signing: SigningSettings) -> Finding:
    name = "signing keys"
    if not signing.key:
        remedy = "Set IMGPROXY_KEY and IMGPROXY_SALT: `openssl rand -hex 32` makes one."
        return bad(name, "none: whoever can reach the server can use it", remedy)
    if any(sample.startswith(key) for key in signing.key for sample in _SAMPLES):
        return bad(name, "one is from a documentation's example, which everybody knows", _NEW_KEY)
    if min(map(len, signing.key)) < _SHORT_KEY:
        return bad(name, f"one has fewer than {_SHORT_KEY} bytes", _NEW_KEY)
    if any(len(set(key)) < _FEW_VALUES for key in signing.key):
        return bad(name, "one is no random number: it has too few different bytes", _NEW_KEY)
    if any(key == salt for key, salt in zip(signing.key, signing.salt, strict=True)):
        return warning(
            name, "one is its own salt", "Give a salt of its own: it keeps signatures of several uses apart."
        )
    if signing.trusted_signatures:
        text = f"{len(signing.key)}, and {len(signing.trusted_signatures)} texts that are accepted without a check"
        return warning(name, text, "Sign the URLs that use them, and remove IMGPROXY_TRUSTED_SIGNATURES.")
    return Finding(name, str(len(signing.key)))


def presets(known: Presets, today: date) -> Finding:
    """Whether some of them should be gone by now. Their mistakes end the reading of the settings."""
    over = [
        name
        for name in known.names
        if (old := known[name].deprecated) is not None and old.remove is not None and old.remove <= today
    ]
    if over:
        return warning(
            "presets", f"to be removed by now: {', '.join(over)}", "Remove them from their files, or give them time."
        )
    old = sum(known[name].deprecated is not None for name in known.names)
    return Finding("presets", f"{len(known.names)}, {old} of them deprecated" if old else str(len(known.names)))
