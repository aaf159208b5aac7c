"""What is made in a hurry: something cheaper now, and what was asked for when there is time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgproxy.errors import Overloaded
from imgproxy.planning import cheaper, takes_better_later

if TYPE_CHECKING:
    from imgproxy.model import Deadline, Plan
    from imgproxy.overload.admission import Admission

_LOOK_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class Hurry:
    """When something cheaper is given."""

    admission: Admission
    brownout: bool = False
    """Whether it is, to all, when there is no time for better."""
    adaptive: bool = False
    """Whether who takes AVIF gets a quick WebP while renders wait for each other."""

    def __bool__(self) -> bool:
        """Whether it ever is."""
        return self.brownout or self.adaptive

    def instead(self, plan: Plan) -> Plan | None:
        """The plan that is made now in the place of this one; None if there is time, or nothing cheaper."""
        adaptive = self.adaptive and self.admission.busy and takes_better_later(plan)
        if not (adaptive or (self.brownout and self.admission.pressed)):
            return None
        quick = cheaper(plan)
        return quick if quick != plan else None

    def makes_up_for(self, plan: Plan) -> bool:
        """Whether what was asked for is made behind an answer with something cheaper."""
        return self.adaptive and takes_better_later(plan)

    async def over(self, patience: Deadline) -> None:
        """Wait until renders no longer wait for each other. Raises ``Overloaded`` if they still do in the end."""
        while self.admission.busy:
            if not patience.remaining:
                raise Overloaded("there was no time for something better behind an answer")
            await asyncio.sleep(_LOOK_EVERY_S)
