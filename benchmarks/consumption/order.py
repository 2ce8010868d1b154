"""What a contender is told to do, from its command line."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Order:
    """One task for one contender.

    Attributes:
        bootstrap: the broker.
        source: topic to consume from its beginning.
        target: topic to produce to.
        group: consumer group to be a member of.
        work: ``io``, ``cpu`` or ``noop``.
        workers: messages worked on at once.
        variant: which way, where a contender has several.
    """

    bootstrap: str
    source: str
    target: str
    group: str
    work: str
    workers: int
    variant: str = ""

    def arguments(self) -> list[str]:
        """As a command line."""
        return [
            self.bootstrap, self.source, self.target, self.group, self.work, str(self.workers), self.variant,
        ]  # fmt: skip

    def consumer(self) -> dict[str, Any]:
        """Librdkafka's consumer as the contenders other than ours set it: from the start, committed by hand."""
        return {
            "bootstrap.servers": self.bootstrap,
            "group.id": self.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "log_level": 0,
        }

    def producer(self) -> dict[str, Any]:
        """Librdkafka's producer with the guarantees of ours: idempotent, all acknowledgements."""
        return {"bootstrap.servers": self.bootstrap, "enable.idempotence": True, "linger.ms": 5, "log_level": 0}


def ordered() -> Order:
    """The task on this process's command line."""
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "source", "target", "group", "work"):
        parser.add_argument(name)
    parser.add_argument("workers", type=int)
    parser.add_argument("variant")
    return Order(**vars(parser.parse_args()))
