"""How much work goes into a picture."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Choice


class Profile(StrEnum):
    """What is done for quality, and what for speed; each is measured in ``docs/quality.md``."""

    FAST = "fast"
    BALANCED = "balanced"
    BEST = "best"


@dataclass(frozen=True, slots=True)
class QualityProfile(Option):
    """Choose how much work goes into the result. imgproxy has no such option.

    `fast` works by imgproxy's rules. `balanced` decodes more of a source before it is resampled, resamples large
    photographs in linear light, and quantises JPEGs for the eye. `best` always resamples in linear light, and leaves
    hardly anything to the decoder's own shrinking. The server's default is `IMGPROXY_QUALITY_PROFILE`.
    """

    profile: Profile = arg(Choice(tuple(Profile)), Profile.BALANCED, "The profile.")

    spellings = (Spelling(("quality_profile", "qp"), ("profile",)),)
    examples = ("qp:fast", "qp:best")
