"""A contender: this project's runtime, as a program of its own."""

from __future__ import annotations

import sys
from typing import Any

from consumption import callables
from consumption.order import Order, ordered
from fogverse import Executor


def main(order: Order) -> int:
    """Run until SIGTERM; the variant is the mode: threads, async or process."""
    name = f"async_{order.work}" if order.variant == "async" else order.work
    process: Any = getattr(callables, name)
    more: dict[str, Any] = {}
    if order.variant == "process":
        process, more = f"{callables.__name__}:{name}", {"mode": "process"}
    return Executor(
        process,
        bootstrap_servers=order.bootstrap,
        source_topic=order.source,
        target_topic=order.target,
        group_id=order.group,
        workers=order.workers,
        ordering="key",
        **more,
    ).run()


if __name__ == "__main__":
    sys.exit(main(ordered()))
