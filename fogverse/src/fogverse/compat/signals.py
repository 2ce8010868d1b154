"""SIGTERM and SIGINT drain every node of the process: FogVerse's nodes share one event loop, often several of them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_stops: dict[object, Callable[[str], None]] = {}
#: What was set before the first node ran; the last one to end sets it again.
_before: dict[int, Any] = {}


@contextmanager
def stopped_by_signals(stop: Callable[[str], None]) -> Iterator[bool]:
    """Call ``stop`` with the signal's name, in the signal's midst; only in the main thread, elsewhere nothing is done.

    Real handlers and not the event loop's: a node that blocks its loop must hear them, too.

    Yields:
        Whether signals are heard.
    """
    if threading.current_thread() is not threading.main_thread():
        yield False
        return
    if not _stops:
        for number in (signal.SIGTERM, signal.SIGINT):
            _before[number] = signal.signal(number, _tell)
    key = object()
    _stops[key] = stop
    try:
        yield True
    finally:
        del _stops[key]
        if not _stops:
            for kept, handler in _before.items():
                signal.signal(kept, handler)
            _before.clear()


def _tell(number: int, _frame: FrameType | None) -> None:
    for stop in list(_stops.values()):
        stop(signal.Signals(number).name)
