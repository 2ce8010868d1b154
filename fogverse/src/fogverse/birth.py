"""Starting at the end of a topic, once: when a group has no positions on it yet."""

from __future__ import annotations

import logging
from typing import Any

from confluent_kafka import KafkaException, TopicPartition

log = logging.getLogger(__name__)

#: Seconds for one question to the broker.
ASK_S = 5.0


class Birth:
    """Gives a group its first positions on a topic.

    The owner of partition 0 does it, and everybody else waits. It asks for the positions of all partitions; if there
    is none, it commits the end offsets of all partitions that exist then, in one request. That makes it happen once:

    - A generation of the group has one owner of partition 0, and a commit of an older generation is refused. Between
      the question and the commit partition 0 cannot change hands, since its owner has to agree inside ``fetch``.
    - Nobody has begun a message before it, so no position of somebody at work is overwritten.
    - All positions are one request, which the broker stores as a whole: who finds any, finds that it has happened.
    - A partition that is added later, or just now and not seen yet, gets no position and is read from its first
      message. The ends are read after the partitions, so what is skipped came before the birth, and all of it did.

    Args:
        consumer: a member of the group; used by the loop's thread, outside its callbacks.
        topic: what it consumes.
    """

    def __init__(self, consumer: Any, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic

    def over(self, *, responsible: bool, from_first: bool) -> bool:
        """Whether the group has positions, after giving it some if need be; to be asked again if it has not.

        Args:
            responsible: whether partition 0 is ours.
            from_first: the topic came after us, so all of its messages are new: start with the first ones.
        """
        try:
            numbers = self._consumer.list_topics(self._topic, timeout=ASK_S).topics[self._topic].partitions
            asked = [TopicPartition(self._topic, number) for number in numbers]
            found = self._consumer.committed(asked, timeout=ASK_S)
            if any(partition.error is None and partition.offset >= 0 for partition in found):
                return True
            if not responsible or not found or any(partition.error is not None for partition in found):
                return False
            for partition in asked:
                first, end = self._consumer.get_watermark_offsets(partition, timeout=ASK_S, cached=False)
                partition.offset = first if from_first else end
            answers = self._consumer.commit(offsets=asked, asynchronous=False)
            if any(partition.error is not None for partition in answers):
                return False
        except KafkaException as error:
            log.debug("the first positions on %s are still to be made: %s", self._topic, error.args[0].str())
            return False
        where = "first messages (it is new)" if from_first else "present end"
        log.info("topic %s is new to the group: %d partitions start at their %s", self._topic, len(asked), where)
        return True
