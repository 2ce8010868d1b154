"""librdkafka's configuration for the clients of an instance, each value with its reason."""

from __future__ import annotations

from typing import Any

from fogverse.settings import Settings

#: Seconds between two looks for messages after which the group takes a member for dead.
LONGEST_CALL_S = 300.0


def _common(settings: Settings) -> dict[str, Any]:
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": settings.instance,
        # Added partitions are noticed by metadata alone; librdkafka's five minutes would leave them unread.
        "topic.metadata.refresh.interval.ms": 2_000,
        # With librdkafka's 100 ms an idle consumer dials twenty times a second through an outage (2 % of a core).
        "reconnect.backoff.ms": 500,
        "reconnect.backoff.max.ms": 2_000,
        "socket.connection.setup.timeout.ms": 10_000,
        "socket.keepalive.enable": True,
        "enable.metrics.push": False,  # nobody asked for client telemetry on a thin link
        **settings.security.librdkafka(),
    }


def admin_config(settings: Settings) -> dict[str, Any]:
    """For questions about topics and groups. Holds secrets: never log it."""
    return _common(settings)


def consumer_config(settings: Settings) -> dict[str, Any]:
    """For the consumer of the source topic. Holds secrets: never log it."""
    return _common(settings) | {
        "group.id": settings.group_id,
        # The master reads members and assignments of the group, which its client can of the classic protocol.
        "group.protocol": "classic",
        "partition.assignment.strategy": "cooperative-sticky",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # A partition added under load has messages before anyone owns it: "latest" would lose them.
        "auto.offset.reset": "earliest",
        # What an aborted transaction has left is not there for us, and positions in an open one are waited for.
        "isolation.level": "read_committed",
        "session.timeout.ms": 10_000,
        # A member hears of a rebalance by its heartbeat: with the default of 3 s this is half of the time to scale.
        "heartbeat.interval.ms": 500,
        "max.poll.interval.ms": int(LONGEST_CALL_S * 1000),
        # A small device must not hold 64 MB of prefetched messages ...
        "queued.min.messages": 20_000,
        "queued.max.messages.kbytes": 16_384,
        # With chunks of the default 1 MB one partition's backlog keeps those of all others back for long.
        "max.partition.fetch.bytes": 262_144,
        # ... and with a small queue the default pause of one second after "full" costs nine tenths of the speed.
        "fetch.queue.backoff.ms": 20,
    }


def producer_config(settings: Settings) -> dict[str, Any]:
    """For the producer of outputs: no loss, no duplicates of its own, order kept. Holds secrets."""
    return _common(settings) | {
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": 5,
        "partitioner": "murmur2_random",  # keys land where Java's and kafka-python's producers put them
        "queue.buffering.max.messages": 100_000,
        "queue.buffering.max.kbytes": 32_768,
        # An outage of any length is waited out: the loop stops fetching when the queue is full.
        "message.timeout.ms": 0,
        "topic.metadata.propagation.max.ms": int(settings.topic_timeout_s * 1000),
    }


def transaction_config(settings: Settings) -> dict[str, Any]:
    """The same for outputs in transactions. Holds secrets."""
    return producer_config(settings) | {
        # A new process with this name ends what its predecessor has left open, at once.
        "transactional.id": f"{settings.group_id}/{settings.instance}",
        # Where no such process comes, readers downstream wait this long; an outage that is longer fences us ...
        "transaction.timeout.ms": 30_000,
        # ... so an output gives up before, and its transaction is aborted and produced again.
        "message.timeout.ms": 20_000,
        "delivery.report.only.error": True,
    }


def report_config(settings: Settings) -> dict[str, Any]:
    """For the producer of reports: small, and what cannot be sent soon is dropped. Holds secrets."""
    return _common(settings) | {
        "acks": 1,
        "linger.ms": 0,
        "queue.buffering.max.messages": 30,
        "queue.buffering.max.kbytes": 256,
        "message.timeout.ms": 5_000,
        "topic.metadata.propagation.max.ms": 5_000,
    }
