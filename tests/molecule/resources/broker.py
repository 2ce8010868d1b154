"""Ask the broker of a scenario's lab, from inside the devices' network.

broker.py LAB create TOPIC...       make topics of two partitions; prints those that were not there
broker.py LAB members GROUP         prints the members of a group, a line each, sorted
broker.py LAB send TOPIC COUNT      produces numbered messages
broker.py LAB trickle TOPIC FILE    produces five messages a second until the file is gone, for five minutes at most
broker.py LAB left GROUP TOPIC      prints the lag of a group, once it is none or after half a minute
broker.py LAB setting NAME          prints a setting of broker 1, as it runs
broker.py LAB outputs TOPIC         prints how many messages a topic has, and how many of them are different
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from lab.fleet import Lab
from lab.netns import entered

TIMEOUT_S = 30.0


def create(servers: str, topics: Sequence[str]) -> None:
    """Make what is missing."""
    admin = AdminClient({"bootstrap.servers": servers})
    missing = sorted(set(topics) - set(admin.list_topics(timeout=TIMEOUT_S).topics))
    for topic, future in admin.create_topics([NewTopic(topic, 2, 1) for topic in missing]).items() if missing else ():
        future.result(TIMEOUT_S)
        print(topic)


def members(servers: str, group: str) -> None:
    """Print the client ids of a group's members."""
    admin = AdminClient({"bootstrap.servers": servers})
    described = admin.describe_consumer_groups([group], request_timeout=TIMEOUT_S)[group].result(TIMEOUT_S)
    print("\n".join(sorted(member.client_id for member in described.members)))


def send(servers: str, topic: str, count: str) -> None:
    """Produce messages, acknowledged by the broker."""
    producer = Producer({"bootstrap.servers": servers, "sticky.partitioning.linger.ms": 0})
    for number in range(int(count)):
        producer.produce(topic, str(number))
    if left := producer.flush(TIMEOUT_S):
        sys.exit(f"{left} messages were not acknowledged")


def trickle(servers: str, topic: str, file: str) -> None:
    """Produce a little, all the time."""
    producer = Producer({"bootstrap.servers": servers, "sticky.partitioning.linger.ms": 0})
    deadline = time.monotonic() + 300
    while Path(file).exists() and time.monotonic() < deadline:
        producer.produce(topic, "a little")
        producer.poll(0.2)
    producer.flush(TIMEOUT_S)


def left(servers: str, group: str, topic: str) -> None:
    """Print the lag once it is zero, or after half a minute."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": group})
    deadline = time.monotonic() + TIMEOUT_S
    try:
        numbers = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions
        while True:
            committed = consumer.committed([TopicPartition(topic, number) for number in numbers], timeout=TIMEOUT_S)
            ends = [consumer.get_watermark_offsets(found, timeout=TIMEOUT_S)[1] for found in committed]
            lag = sum(end - max(found.offset, 0) for found, end in zip(committed, ends, strict=True))
            if not lag or time.monotonic() > deadline:
                print(lag)
                return
            time.sleep(0.2)
    finally:
        consumer.close()


def outputs(servers: str, topic: str) -> None:
    """Print the counts of a topic that nobody writes to any more."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "outputs", "enable.partition.eof": True})
    values = []
    try:
        ends = set(consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, 0) for number in ends])
        while ends:
            if (message := consumer.poll(TIMEOUT_S)) is None:
                sys.exit(f"{topic} does not end")
            error = message.error()
            if error is None:
                values.append(message.value())
            elif error.code() == KafkaError._PARTITION_EOF:
                ends.discard(message.partition())
            else:
                sys.exit(str(error))
    finally:
        consumer.close()
    print(f"{len(set(values))} of {len(values)} messages are different")


def setting(servers: str, name: str) -> None:
    """Print what the broker itself says."""
    admin = AdminClient({"bootstrap.servers": servers})
    [future] = admin.describe_configs([ConfigResource(ConfigResource.Type.BROKER, "1")]).values()
    print(future.result(TIMEOUT_S)[name].value)


if __name__ == "__main__":
    folder, command, *arguments = sys.argv[1:]
    lab = Lab(Path(folder), Path(folder) / "base")
    with entered(lab.hub_netns):
        match command:
            case "create":
                create(lab.bootstrap, arguments)
            case "members":
                members(lab.bootstrap, *arguments)
            case "send":
                send(lab.bootstrap, *arguments)
            case "trickle":
                trickle(lab.bootstrap, *arguments)
            case "left":
                left(lab.bootstrap, *arguments)
            case "setting":
                setting(lab.bootstrap, *arguments)
            case "outputs":
                outputs(lab.bootstrap, *arguments)
            case _:
                sys.exit(__doc__)
