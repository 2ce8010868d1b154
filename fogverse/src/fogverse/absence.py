"""A source topic that is not there (yet)."""

from __future__ import annotations

import logging
from time import monotonic

from confluent_kafka import Consumer, KafkaException

from fogverse.exit_codes import ExitCode
from fogverse.faults import Fault

log = logging.getLogger(__name__)


class Absence:
    """How long the topic has been missing, and whether that is too long.

    Args:
        topic: what is waited for.
        timeout_s: how long it may be missing.

    Attributes:
        was: whether it has been missing since the start: all that is in it has come since.
    """

    def __init__(self, topic: str, timeout_s: float) -> None:
        self.was = False
        self._topic = topic
        self._timeout_s = timeout_s
        self._since: float | None = None

    def begins(self) -> None:
        """The broker does not know the topic."""
        if self._since is None:
            self._since = monotonic()
            self.was = True
            log.warning(
                "source topic %s does not exist (yet): waiting up to %.0f s for it", self._topic, self._timeout_s
            )

    def ends(self) -> None:
        """It is there."""
        self._since = None

    def look(self, consumer: Consumer) -> Fault | None:
        """Why the run must end, if the time is over and the broker still does not know it."""
        if self._since is None or monotonic() - self._since < self._timeout_s:
            return None
        try:
            found = consumer.list_topics(self._topic, timeout=5).topics[self._topic].error is None
        except KafkaException as error:
            log.warning("cannot ask for topic %s: %s", self._topic, error.args[0].str())
            self._since = monotonic()
            return None
        self._since = None
        if found:
            return None
        return Fault(
            ExitCode.REFUSED,
            f"source topic {self._topic} does not exist after {self._timeout_s:.0f} s: create it, "
            "or correct FOGVERSE_SOURCE_TOPIC",
        )
