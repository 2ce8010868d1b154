"""What the seed's nodes announce: a pair of topics that they work between. It is told, and decides nothing.

A message of Kafka's never chooses what is executed on a device: the inventory does.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from orchestrator.core.service import Service

log = logging.getLogger(__name__)

#: Pairs that are remembered as said, so that a hostile sender fills neither the log nor the memory.
MOST_PAIRS = 100


class Announcements:
    """Says of each pair once that no service of the inventory has it."""

    def __init__(self, services: Iterable[Service]) -> None:
        """Take the services of the inventory."""
        self._known = {(service.source_topic, service.target_topic) for service in services}
        self._said: set[tuple[str, str]] = set()

    def hear(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Take in pairs of source and target topic."""
        for source, target in pairs:
            if (source, target) in self._known or (source, target) in self._said or len(self._said) >= MOST_PAIRS:
                continue
            self._said.add((source, target))
            log.info("a node announced the pair %s -> %s, which no service of the inventory has", source, target)
