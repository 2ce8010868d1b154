"""A member that owns nothing: partitions that are added for it are looked for more often than the client does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

from confluent_kafka import Consumer, KafkaException

log = logging.getLogger(__name__)

#: Seconds between two looks; the client itself looks every two seconds, which was half of the time to scale.
EVERY_S = 0.2
#: Seconds after which nobody seems to be about to add partitions: the client's own looks are enough then.
LONGEST_S = 8.0
_ANSWER_S = 1.0


class Hunger:
    """Looks for partitions while this member has none, for a while.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._since: float | None = None
        self._looked = float("-inf")

    def owns(self, partitions: int) -> None:
        """The group has said how many partitions this member owns."""
        self._since = None if partitions else self._clock()

    def look(self, consumer: Consumer) -> None:
        """Ask for the topics again if it is time to; the client rejoins by itself when one of its own has grown."""
        now = self._clock()
        if self._since is None or now - self._since > LONGEST_S or now - self._looked < EVERY_S:
            return
        try:
            consumer.list_topics(timeout=_ANSWER_S)  # of all topics: the answer for one does not reach the group's side
        except KafkaException as error:
            log.debug("topics cannot be listed: %s", error.args[0].str())
        self._looked = self._clock()
