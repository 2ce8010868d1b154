"""The kinds of callables there are."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from fogverse.message import Message, Returned

PlainProcess: TypeAlias = Callable[[Message], Returned]
AsyncProcess: TypeAlias = Callable[[Message], Awaitable[Returned]]
#: With ``batch``: one entry in the list for each message.
BatchProcess: TypeAlias = Callable[[list[Message]], Sequence[Returned] | None]
AsyncBatchProcess: TypeAlias = Callable[[list[Message]], Awaitable[Sequence[Returned] | None]]
Process: TypeAlias = PlainProcess | AsyncProcess | BatchProcess | AsyncBatchProcess

#: What is told of a coroutine function with mode=process.
ASYNC_IN_PROCESS = (
    "FOGVERSE_MODE=process (--mode): the callable is a coroutine function, which an event loop awaits: choose "
    "mode thread for it, or make it a plain function"
)


def is_coroutine_function(process: object) -> bool:
    """Whether calling it gives something to await; also for objects with such a ``__call__``."""
    return inspect.iscoroutinefunction(process) or inspect.iscoroutinefunction(getattr(process, "__call__", None))  # noqa: B004
