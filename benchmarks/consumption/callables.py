"""The work as the runtime calls it, by name: a worker process imports it by that."""

from __future__ import annotations

from consumption.work import ASYNC, PLAIN
from fogverse import Message


def io(message: Message) -> bytes:
    """Wait."""
    return PLAIN["io"](message.value)


def cpu(message: Message) -> bytes:
    """Compute."""
    return PLAIN["cpu"](message.value)


def noop(message: Message) -> bytes:
    """Nothing."""
    return message.value


async def async_io(message: Message) -> bytes:
    """Wait on an event loop."""
    return await ASYNC["io"](message.value)


async def async_cpu(message: Message) -> bytes:
    """Compute in a coroutine."""
    return await ASYNC["cpu"](message.value)


async def async_noop(message: Message) -> bytes:
    """Nothing, in a coroutine."""
    return message.value
