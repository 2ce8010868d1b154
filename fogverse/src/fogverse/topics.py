"""Topics that are made and grown by several at once without a lock: at least so many partitions, and look again."""

from __future__ import annotations

import logging

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

log = logging.getLogger(__name__)

#: Seconds for one request to the broker.
REQUEST_S = 10.0
#: Answers that mean "somebody was faster" or "not seen everywhere yet".
_FASTER = frozenset(
    {
        KafkaError.TOPIC_ALREADY_EXISTS,
        KafkaError.INVALID_PARTITIONS,
        KafkaError.REASSIGNMENT_IN_PROGRESS,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)


def partitions_of(admin: AdminClient, topic: str) -> int | None:
    """How many partitions a topic has; None if it does not exist.

    Raises:
        KafkaException: the broker did not answer, or refuses to.
    """
    try:
        described = admin.describe_topics(TopicCollection([topic]), request_timeout=REQUEST_S)[topic]
        return len(described.result(REQUEST_S + 1).partitions)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        raise


def ask_for(admin: AdminClient, topic: str, present: int | None, wanted: int) -> bool:
    """Ask once for a topic of at least ``wanted`` partitions.

    Args:
        admin: client.
        topic: which.
        present: partitions it has, as far as is known; None if it does not exist.
        wanted: partitions it should have, more than ``present``.

    Returns:
        Whether this request did it. False: another was faster; read again.

    Raises:
        KafkaException: the broker refuses for another reason.
    """
    if present is None:
        # -1: as many replicas as the broker's administrator has set for new topics.
        answer = admin.create_topics([NewTopic(topic, wanted, -1)], operation_timeout=REQUEST_S)[topic]
    else:
        answer = admin.create_partitions([NewPartitions(topic, wanted)], operation_timeout=REQUEST_S)[topic]
    try:
        answer.result(2 * REQUEST_S)
    except KafkaException as error:
        if error.args[0].code() in _FASTER:
            log.debug("topic %s: %s", topic, error.args[0].str())
            return False
        raise
    log.info("topic %s: %s -> %d partitions", topic, "new" if present is None else present, wanted)
    return True
