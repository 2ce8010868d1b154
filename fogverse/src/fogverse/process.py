"""The kinds of callables there are."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from fogverse.message import Message, Returned

PlainProcess: TypeAlias = Callable[[Message], Returned]
AsyncProcess: TypeAlias = Callable[[Message], Awaitable[Returned]]
Process: TypeAlias = PlainProcess | AsyncProcess


def is_coroutine_function(process: object) -> bool:
    """Whether calling it gives something to await; also for objects with such a ``__call__``."""
    return inspect.iscoroutinefunction(process) or inspect.iscoroutinefunction(getattr(process, "__call__", None))  # noqa: B004
