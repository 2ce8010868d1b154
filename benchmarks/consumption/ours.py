"""A contender: this project's runtime, as a program of its own."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable

from consumption.order import Order, ordered
from consumption.work import ASYNC, PLAIN
from fogverse import Executor, Message


def callable_for(order: Order) -> Callable[[Message], bytes] | Callable[[Message], Awaitable[bytes]]:
    """The work as the runtime calls it."""
    if order.variant.startswith("async"):
        coroutine = ASYNC[order.work]

        async def awaited(message: Message) -> bytes:
            return await coroutine(message.value)

        return awaited
    work = PLAIN[order.work]

    def called(message: Message) -> bytes:
        return work(message.value)

    return called


def main(order: Order) -> int:
    """Run until SIGTERM; the variant is the mode, and the ordering if it is not by key."""
    _, _, ordering = order.variant.partition("/")
    return Executor(
        callable_for(order),
        bootstrap_servers=order.bootstrap,
        source_topic=order.source,
        target_topic=order.target,
        group_id=order.group,
        workers=order.workers,
        ordering=ordering or "key",
    ).run()


if __name__ == "__main__":
    sys.exit(main(ordered()))
