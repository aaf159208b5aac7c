"""People who go on asking while something else happens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Self


class Visitors:
    """A thread for each way of asking, which is repeated with a pause until the block ends."""

    def __init__(self, asking: Iterable[Callable[[], object]], pause: float) -> None:
        self._pause = pause
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._go_on, args=(ask,)) for ask in asking]

    def _go_on(self, ask: Callable[[], object]) -> None:
        while not self._ended.wait(self._pause):
            ask()

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for each in self._threads:
            each.join()
