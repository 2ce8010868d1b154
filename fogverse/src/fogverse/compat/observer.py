"""What FogVerse's nodes tell the master about their throughput."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

Send = Callable[[str, bytes], Any]


class Sent:
    """What ``send`` has returned: may be awaited, whether ``send`` is asynchronous or not.

    Attributes:
        results: of each call of ``send``; none if there was nothing to send.
    """

    def __init__(self, results: tuple[Any, ...] = ()) -> None:
        self.results = results

    def __await__(self) -> Generator[Any, None, Any]:
        last = None
        for result in self.results:
            last = (yield from result.__await__()) if hasattr(result, "__await__") else result
        return last


class ProducerObserver:
    """Sends the two messages that FogVerse's master lives on; ours understands them.

    A node of this package that consumes needs it not: its engine reports once a second. It is for nodes that only
    produce, and for programs that keep their own Kafka clients.

    Args:
        producer_topic: the observer topic.
        clock: seconds since the epoch.
    """

    def __init__(self, producer_topic: str, clock: Callable[[], float] = time.time) -> None:
        self._producer_topic = producer_topic
        self._clock = clock

    def send_input_output_ratio_pair(
        self, source_topic: str | Iterable[str] | None, target_topic: str | None, topic_configs: Any, send: Send
    ) -> Sent:
        """Say that messages of one topic become messages of another: once, at the start.

        The master shows the pair and the deployment settings; it deploys what its inventory says and nothing else.

        Args:
            source_topic: or several, for each of which a message is sent; None sends none.
            target_topic: None or empty sends none.
            topic_configs: a mapping, a dataclass, a pydantic model or None.
            send: called with topic and payload.

        Returns:
            May be awaited if ``send`` is asynchronous.
        """
        sources = (source_topic,) if isinstance(source_topic, str) else tuple(source_topic or ())
        if not target_topic:
            return Sent()
        return Sent(
            tuple(
                self._send(send, source_topic=source, target_topic=target_topic, deploy_configs=_plain(topic_configs))
                for source in sources
            )
        )

    def send_total_successful_messages(self, target_topic: str | None, total_messages: int, send: Send) -> Sent:
        """Say how many messages were sent to a topic since this was said last.

        Args:
            target_topic: None or empty sends nothing.
            total_messages: how many; may be gathered for a second.
            send: called with topic and payload.

        Returns:
            May be awaited if ``send`` is asynchronous.
        """
        if not target_topic:
            return Sent()
        now = int(self._clock())
        return Sent((self._send(send, target_topic=target_topic, total_messages=total_messages, timestamp=now),))

    def _send(self, send: Send, **fields: Any) -> Any:
        return send(self._producer_topic, json.dumps(fields, separators=(",", ":")).encode())


def _plain(configs: Any) -> Any:
    if configs is None or isinstance(configs, Mapping):
        return configs
    if hasattr(configs, "model_dump"):
        return configs.model_dump(mode="json")
    if is_dataclass(configs) and not isinstance(configs, type):
        return asdict(configs)
    raise TypeError(
        f"topic_configs={type(configs).__name__}: a mapping, a dataclass, a pydantic model or None is needed"
    )
