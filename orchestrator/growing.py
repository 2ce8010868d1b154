"""Growing topics that have fewer partitions than members: an instance that came by itself gets its share, too."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from kafka.errors import KafkaError

from orchestrator.act.step import Step
from orchestrator.broker.cluster import Cluster
from orchestrator.clock import Clock
from orchestrator.core.growth import Growth
from orchestrator.errors import BrokerUnreachable, NotLeading
from orchestrator.service_state import ServiceState

log = logging.getLogger(__name__)


class Growing:
    """Gives topics the partitions that their members need, and tells each refusal once."""

    def __init__(self, cluster: Cluster, clock: Clock, record: Callable[[Step], None]) -> None:
        """Take the shells.

        Args:
            cluster: the loop's connection.
            clock: time.
            record: is told what was grown and what was refused.
        """
        self._cluster = cluster
        self._clock = clock
        self._record = record

    def grow(self, state: ServiceState, growths: Collection[Growth] | None) -> None:
        """Grow the topics of a service.

        Args:
            state: of the service; remembers which refusals have been told.
            growths: what is missing; None when that is unknown or not for now.
        """
        if growths is None:
            return
        # what is not refused any more is said again when it is refused again
        state.grown_refused &= {wanted.topic for wanted in growths if wanted.refused is not None}
        for wanted in growths:
            now = self._clock.now()
            if wanted.refused is not None:
                if wanted.topic not in state.grown_refused:
                    state.grown_refused.add(wanted.topic)
                    detail = f"{wanted.topic} keeps {wanted.before} partitions: {wanted.refused}"
                    self._record(Step("growth-refused", state.service.name, now, detail))
                continue
            try:
                after = self._cluster.grow(wanted.topic, wanted.after)
            except (BrokerUnreachable, KafkaError, NotLeading) as error:
                log.warning("%s was not grown: %s; tried again at the next tick", wanted.topic, error)
                continue
            detail = f"{wanted.topic}: {wanted.before} -> {after}: {wanted.reason}"
            self._record(Step("partitions-grown", state.service.name, now, detail))
