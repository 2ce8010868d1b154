"""The end of a topic, read once by a command: no group, no commits, nothing left behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from orchestrator.errors import BrokerRefuses, BrokerUnreachable
from orchestrator.kafka_refusal import refusal

_TIMEOUT_MS = 5_000


def tail(options: Mapping[str, Any], topic: str, *, since: float | None = None, most: int = 5_000) -> list[Any]:
    """The newest records of a topic, oldest first within each partition; none when the topic does not exist.

    Args:
        options: kafka-python's connection options.
        topic: what to read.
        since: leave out records older than this, seconds since the epoch by their own timestamps.
        most: records per partition, counted from the end.

    Raises:
        BrokerUnreachable: no broker answered, it stopped answering, or (BrokerRefuses) it refuses us.
    """
    consumer: KafkaConsumer | None = None
    try:
        consumer = KafkaConsumer(
            **options,
            client_id="fogverse-orchestrator-tail",
            enable_auto_commit=False,
            bootstrap_timeout_ms=_TIMEOUT_MS,
        )
        return _read(consumer, topic, since, most)
    except (KafkaError, OSError) as error:
        if words := refusal(options):
            raise BrokerRefuses(f"{topic} cannot be read: the Kafka broker {words}") from error
        servers = ",".join(options["bootstrap_servers"])
        raise BrokerUnreachable(
            f"{topic} cannot be read from {servers} ({type(error).__name__}: {error}); start the broker, or correct "
            "fogverse_kafka in the inventory"
        ) from error
    finally:
        if consumer is not None:
            consumer.close()


def _read(consumer: KafkaConsumer, topic: str, since: float | None, most: int) -> list[Any]:
    assigned = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic) or ())]
    if not assigned:
        return []
    begins, ends = consumer.beginning_offsets(assigned), consumer.end_offsets(assigned)
    first = {tp: max(begins[tp], ends[tp] - most) for tp in assigned}
    if since is not None:
        found = consumer.offsets_for_times({tp: int(since * 1000) for tp in assigned})
        first = {tp: max(first[tp], found[tp].offset if found.get(tp) else ends[tp]) for tp in assigned}
    consumer.assign(assigned)
    for tp, offset in first.items():
        consumer.seek(tp, offset)
    records: list[Any] = []
    while any(consumer.position(tp) < ends[tp] for tp in assigned):
        batches = consumer.poll(timeout_ms=_TIMEOUT_MS)
        if not batches:
            raise KafkaError(f"no answer within {_TIMEOUT_MS / 1000:g} s")
        records += [record for batch in batches.values() for record in batch]
    return records
