"""Looks at the Kafka cluster: does it answer, which version, do the topics fit the services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError

from orchestrator.broker.ledger import state_topic
from orchestrator.checks.line import Line, counted
from orchestrator.checks.observer_topic import ASKED, observer_lines
from orchestrator.core.service import Service
from orchestrator.errors import BrokerRefuses
from orchestrator.kafka_admin import open_admin
from orchestrator.settings import Settings

BOOTSTRAP_TIMEOUT_MS = 5_000
REQUEST_TIMEOUT_MS = 10_000
#: Brokers from which on a single copy of a topic is a pity.
MANY = 3


def check_broker(options: Mapping[str, Any], services: Sequence[Service], settings: Settings) -> tuple[Line, ...]:
    """Lines about the cluster and the topics of the services.

    Args:
        options: kafka-python's keyword arguments of the cluster.
        services: whose topics are looked at.
        settings: name the master's own topics.
    """
    observer_topic = settings.observer_consumer_topic
    servers = ",".join(options["bootstrap_servers"])
    try:
        client = open_admin(**options, bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS, request_timeout_ms=REQUEST_TIMEOUT_MS)
    except BrokerRefuses as error:
        return (Line("broker", servers, "fail", str(error), "correct fogverse_kafka in the inventory", refused=True),)
    except (KafkaError, OSError) as error:
        return (_unreachable(servers, error, options),)
    try:
        # The name of the field differs between Kafka's two ways to answer. Each broker is asked for its version:
        # that it advertises an address nobody here can reach shows only when one goes there.
        nodes = [node.get("broker_id", node.get("node_id")) for node in client.describe_cluster()["brokers"]]
        versions = {client.get_broker_version_data(node).broker_version for node in nodes}
        version = ".".join(str(part) for part in min(versions))
        topics = {topic["name"]: topic["partitions"] for topic in client.describe_topics() if not topic["error_code"]}
        configs = _configs(client, observer_topic) if observer_topic in topics else None
    except (KafkaError, OSError) as error:
        return (_unreachable(servers, error, options),)
    finally:
        client.close()
    answers = Line(
        "broker", servers, "ok", f"{counted(nodes, 'broker')}, speaks the protocol of Kafka {version} or later"
    )
    own = (observer_topic, settings.ledger_topic, state_topic(settings.ledger_topic))
    theirs = (topic for service in services for topic in (service.source_topic, service.target_topic) if topic)
    copies = {
        name: min(len(partition["replica_nodes"]) for partition in topics[name])
        for name in dict.fromkeys((*own, *theirs))
        if name in topics
    }
    counts = {name: len(partitions) for name, partitions in topics.items()}
    of_observer = (
        () if configs is None else observer_lines(observer_topic, configs, settings.window_max_second, servers)
    )
    return (answers, *topic_lines(counts, services, observer_topic), *of_observer, *copy_lines(copies, len(nodes)))


def _configs(client: KafkaAdminClient, topic: str) -> dict[str, str]:
    """What is asked for of a topic's settings; empty when this user may not know them."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, list(ASKED))
    found = client.describe_configs([resource], config_filter="all")["topic"][topic]
    return {name: config["value"] for name, config in found.items()}


def copy_lines(copies: Mapping[str, int], brokers: int) -> Iterable[Line]:
    """Lines about topics that would be gone with one broker although there are more.

    Args:
        copies: the fewest copies of any of its partitions, by topic.
        brokers: how many there are.
    """
    for topic in (topic for topic, count in copies.items() if count == 1 and brokers >= MANY):
        yield Line(
            "topic",
            topic,
            "warn",
            f"a single copy, on a cluster of {brokers} brokers: it is gone when the one that has it is",
            "set default.replication.factor=3 on the brokers for topics to come, and give this one more copies with "
            "kafka-reassign-partitions.sh",
        )


def topic_lines(partitions: Mapping[str, int], services: Sequence[Service], observer_topic: str) -> Iterable[Line]:
    """Lines about topics.

    Args:
        partitions: partition count of every topic that exists.
        services: whose topics are looked at.
        observer_topic: the topic of the instances' reports.
    """
    if observer_topic in partitions:
        yield Line(
            "topic",
            observer_topic,
            "ok",
            f"{counted(partitions[observer_topic], 'partition')} for the instances' reports",
        )
    else:
        yield Line("topic", observer_topic, "note", "not there yet: the first `orchestrator run` creates it")
    for service in services:
        yield _source(service, partitions.get(service.source_topic))
    consumed = {service.source_topic for service in services}
    for service in services:
        target = service.target_topic
        if target is None or target in consumed:
            continue
        if target in partitions:
            yield Line(
                "topic", target, "ok", f"{counted(partitions[target], 'partition')}; {service.name} writes to it"
            )
        else:
            yield _absent(target, f"{service.name} writes to it")


def _source(service: Service, partitions: int | None) -> Line:
    topic = service.source_topic
    if partitions is None:
        return _absent(topic, f"{service.name} consumes it")
    wants = f"{service.min_instances} to {service.max_instances} instances"
    has = f"{counted(partitions, 'partition')}; {service.name} consumes it, {wants}"
    if service.ordering != "none" and partitions < service.max_instances:
        return Line(
            "topic",
            topic,
            "warn",
            f"{has}, ordering {service.ordering}: never grown, so instances beyond {partitions} would be idle",
            f"lower max_instances to {partitions}, raise workers, or give {topic} {service.max_instances} partitions "
            "while it is empty (keys move to other partitions)",
        )
    if partitions < service.max_instances:
        return Line("topic", topic, "ok", f"{has}; grown as instances need it")
    return Line("topic", topic, "ok", has)


def _absent(topic: str, who: str) -> Line:
    return Line("topic", topic, "note", f"not there yet: the first `orchestrator run` creates it; {who}")


def _unreachable(servers: str, error: Exception, options: Mapping[str, Any]) -> Line:
    words = " ".join(str(error).split()) or type(error).__name__
    protocol = options.get("security_protocol", "PLAINTEXT")
    return Line(
        "broker",
        servers,
        "fail",
        f"cannot be reached ({protocol}): {words}",
        "start the broker (of the lab: orchestrator lab kafka up), or correct fogverse_kafka",
    )
