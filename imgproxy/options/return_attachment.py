"""A download instead of a picture."""

from __future__ import annotations

from dataclasses import dataclass

from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Bool


@dataclass(frozen=True, slots=True)
class ReturnAttachment(Option):
    """Let the browser save the image instead of showing it (`Content-Disposition: attachment`)."""

    enabled: bool = arg(Bool(), False, "Answer as an attachment.")

    spellings = (Spelling(("return_attachment", "att"), ("enabled",)),)
    examples = ("att:1",)
    effect = "delivery"
