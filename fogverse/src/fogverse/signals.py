"""Signals that ask for a stop."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from fogverse.stopping import Stopping


@contextmanager
def stopped_by_signals(stopping: Stopping) -> Iterator[None]:
    """SIGTERM and SIGINT ask for the stop meanwhile; in the main thread only, which alone may set that."""

    def ask(number: int, _frame: FrameType | None) -> None:
        stopping.request(signal.Signals(number).name)

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
