"""A member without a partition looks for new ones, often at first and not for ever."""

from __future__ import annotations

from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException

from fogverse.hunger import EVERY_S, LONGEST_S, Hunger


class Asked:
    """Counts how often the topics are asked for; the broker may be away."""

    def __init__(self) -> None:
        self.times = 0
        self.away = False

    def list_topics(self, *, timeout: float) -> None:
        assert timeout <= 1
        self.times += 1
        if self.away:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))


def test_it_looks_while_it_owns_nothing_and_for_a_while_only() -> None:
    """Lost otherwise: two seconds of each scale-out; or a broker that idle instances keep busy."""
    now = [100.0]
    hunger, broker = Hunger(lambda: now[0]), Asked()
    consumer = cast("Consumer", broker)
    hunger.look(consumer)
    assert broker.times == 0, "it is no member yet"
    hunger.owns(0)
    hunger.look(consumer)
    hunger.look(consumer)
    assert broker.times == 1, "not more often than told"
    now[0] += EVERY_S
    broker.away = True
    hunger.look(consumer)
    assert broker.times == 2, "a broker that is away ends nothing"
    hunger.owns(1)
    now[0] += EVERY_S
    hunger.look(consumer)
    assert broker.times == 2
    hunger.owns(0)
    now[0] += LONGEST_S + 1
    hunger.look(consumer)
    assert broker.times == 2
