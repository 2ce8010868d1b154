"""A service: one stage of a pipeline, as the inventory's ``fogverse_services`` describes it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orchestrator.core.policy_settings import CapacitySettings, PolicySettings
from orchestrator.core.requirements import HealSettings, Requirements

#: A name that is legal at once in a Kafka topic, a systemd unit and a Unix path.
ServiceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
TopicName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]


class Service(BaseModel):
    """What to run, where, between which topics and within which limits.

    Attributes:
        name: the key in ``fogverse_services``.
        source_topic: topic consumed.
        target_topic: topic produced to; None for a sink.
        group_id: Kafka consumer group of all instances.
        artifact: folder (or wheel) with the code, relative to the project or absolute.
        entrypoint: ``module:callable`` in the artifact.
        hosts: Ansible inventory pattern of the devices that may run it.
        min_instances: kept running always.
        max_instances: never exceeded.
        max_partitions: what the source topic is grown to at most; None for twice ``max_instances``.
        ordering: ``none``, ``key`` or ``partition``: what the consumers guarantee. Topics of services
            ordered by key are never grown, since growth moves keys to other partitions.
        workers: messages worked on at once inside one process.
        env: extra environment variables of the process; no secrets.
        policy: how the desired number of instances is found.
        placement: ``spread`` over many devices, or ``pack`` onto few.
        requires: what an instance needs of its device.
        heal: what is done about one that fails.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ServiceName
    source_topic: TopicName
    target_topic: TopicName | None = None
    group_id: Annotated[str, Field(min_length=1)]
    artifact: Annotated[str, Field(min_length=1)]
    entrypoint: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    hosts: Annotated[str, Field(min_length=1)]
    min_instances: int = Field(default=1, ge=0)
    max_instances: int = Field(default=1, ge=1)
    max_partitions: int | None = Field(default=None, ge=1)
    ordering: Literal["none", "key", "partition"] = "none"
    workers: int = Field(default=1, ge=1)
    env: dict[str, str] = Field(default_factory=dict)
    policy: PolicySettings = Field(default_factory=CapacitySettings)
    placement: Literal["spread", "pack"] = "spread"
    requires: Requirements = Field(default_factory=Requirements)
    heal: HealSettings = Field(default_factory=HealSettings)

    @property
    def partitions_limit(self) -> int:
        """Partitions that the source topic is grown to at most.

        Twice ``max_instances`` unless told: with as many as that, most sizes of the fleet have even shares.
        """
        return self.max_partitions or 2 * self.max_instances

    @model_validator(mode="after")
    def _limits(self) -> Service:
        if self.max_instances < self.min_instances:
            raise ValueError(f"max_instances ({self.max_instances}) is below min_instances ({self.min_instances})")
        if self.source_topic == self.target_topic:
            raise ValueError("source_topic and target_topic are the same: the service would feed itself")
        return self
