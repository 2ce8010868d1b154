"""The clock of all contenders: who is a member of the group."""

from __future__ import annotations

from fleet.stage import SERVICE, Stage
from orchestrator.broker.cluster import Cluster


class Arrivals:
    """Watches the group from outside, as the clock of all contenders."""

    def __init__(self, stage: Stage) -> None:
        self._cluster = Cluster(stage.context.admin_options())
        self._wanted = {f"{SERVICE}@{name}.1" for name in stage.devices}

    def close(self) -> None:
        """End the connection."""
        self._cluster.close()

    def complete(self) -> bool:
        """Whether every device's instance is a member."""
        return self._members() >= self._wanted

    def empty(self) -> bool:
        """Whether nobody is."""
        return not self._members()

    def _members(self) -> set[str]:
        return {member.client_id for member in self._cluster.groups([SERVICE])[SERVICE].members}
