"""FogVerse's three factories, over this project's parts."""

from __future__ import annotations

import math
import os
from pathlib import Path

from confluent_kafka.admin import AdminClient

from fogverse.autoscaler import LOOK_S, ConsumerAutoScaler
from fogverse.compat.config import get_config, with_ports
from fogverse.compat.event_handler import MasterEventHandler
from fogverse.compat.observer import ProducerObserver
from fogverse.security import read_security
from fogverse.settings import SettingsError


class MasterComponent:
    """Makes what a pipeline with autoscaling consists of, from environment variables.

    Only ``master_event_handler`` needs the distribution ``fogverse-orchestrator``, and only when it runs: devices do
    without.
    """

    def consumer_auto_scaler(self) -> ConsumerAutoScaler:
        """What makes and grows topics: ``KAFKA_ADMIN_HOST``, ``SLEEP_TIME`` (seconds).

        Raises:
            SettingsError: with every problem at once.
        """
        security, problems = read_security(os.environ)
        sleep_time = _seconds("SLEEP_TIME", get_config("SLEEP_TIME", self, LOOK_S), problems)
        if problems:
            raise SettingsError(problems)
        servers = with_ports(get_config("KAFKA_ADMIN_HOST", self, "localhost"))
        return ConsumerAutoScaler(AdminClient({"bootstrap.servers": servers, **security.librdkafka()}), sleep_time)

    def producer_observer(self) -> ProducerObserver:
        """What tells the master about a node that only produces: ``OBSERVER_TOPIC``."""
        return ProducerObserver(get_config("OBSERVER_TOPIC", self, "observer"))

    def master_event_handler(self, inventory: str | Path | None = None) -> MasterEventHandler:
        """The master, ready to ``await handler.run()``.

        Args:
            inventory: says what may be deployed where; by default the one of ``FOGVERSE_INVENTORY``, or the only one
                in the project's ``inventory/``. FogVerse's variables (``OBSERVER_CONSUMER_TOPIC``, ``DEPLOY_DELAY``,
                ``Z_VALUE``, ...) win over its settings.
        """
        return MasterEventHandler(inventory)


def _seconds(name: str, given: object, problems: list[str]) -> float:
    try:
        seconds = float(str(given))
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 3600:  # noqa: PLR2004 -- said in the message
        problems.append(f"{name}={given}: a number of seconds above 0 and up to 3600 is needed")
    return seconds
