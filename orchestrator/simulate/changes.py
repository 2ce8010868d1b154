"""``--set key=value``: what is changed of a scenario, checked by the models that the values belong to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.core.policy_settings import CapacitySettings, RatioSettings
from orchestrator.core.service import Service
from orchestrator.errors import SimulationInvalid
from orchestrator.settings import Settings
from orchestrator.simulate.scenario import Delays


class Model(BaseModel):
    """What may be set of the simulated world; unset keys keep the scenario's values.

    Attributes:
        rate: messages/s of one instance, on every device.
        devices: how many there are.
        slots: instances on each.
        partitions: of the source topic at the beginning.
        instances: at the beginning.
        spread: how arrivals fall on partitions.
        seed: of everything that is left to chance.
        startup_s: median time from a decision until an instance is a member.
        startup_spread: standard deviation of its logarithm.
        rebalance_s: how long a partition stands still when it changes hands.
        drain_s: time until a drained instance has left.
        session_s: time until the group notices a dead member.
        commit_s: mean age of the newest commit.
        metadata_s: time until members notice that their topic has grown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rate: float | None = Field(default=None, gt=0)
    devices: int | None = Field(default=None, ge=1, le=1000)
    slots: int | None = Field(default=None, ge=1, le=100)
    partitions: int | None = Field(default=None, ge=1, le=10_000)
    instances: int | None = Field(default=None, ge=0, le=1000)
    spread: str | None = Field(default=None, pattern="^(even|hot|keyed)$")
    seed: int | None = None
    startup_s: float | None = Field(default=None, ge=0, le=3600)
    startup_spread: float | None = Field(default=None, ge=0, le=3)
    rebalance_s: float | None = Field(default=None, ge=0, le=600)
    drain_s: float | None = Field(default=None, ge=0, le=600)
    session_s: float | None = Field(default=None, ge=0, le=600)
    commit_s: float | None = Field(default=None, ge=0, le=1)
    metadata_s: float | None = Field(default=None, ge=0, le=600)

    def delays(self, before: Delays) -> Delays:
        """``before`` with what is set."""
        names = [f.name for f in dataclasses.fields(Delays) if f.name in Model.model_fields]
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        if self.startup_s is not None:  # then what was measured does not count any more
            given["startups"] = ()
        return dataclasses.replace(before, **given)


@dataclass(frozen=True, slots=True)
class Changes:
    """What was set, by what it belongs to.

    Attributes:
        policy: of the policy that decides.
        service: of the service.
        settings: of the master.
        model: of the simulated world.
    """

    policy: Mapping[str, Any] = field(default_factory=dict)
    service: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    model: Model = field(default_factory=Model)

    def to_service(self, service: Service, policy: str) -> Service:
        """The service with what is set of it and of its policy.

        Raises:
            SimulationInvalid: a value is not allowed.
        """
        own = service.policy.model_dump(exclude_unset=True) if service.policy.name == policy else {}
        given = service.model_dump(exclude={"policy"})
        values = {**given, **self.service, "policy": {**own, "name": policy, **self.policy}}
        return _checked(Service, values, "service or policy")

    def to_settings(self, settings: Settings) -> Settings:
        """The master's settings with what is set.

        Raises:
            SimulationInvalid: a value is not allowed.
        """
        return _checked(Settings, {**settings.model_dump(exclude_unset=True), **self.settings}, "settings")


def read(pairs: Iterable[str], policy: str) -> Changes:
    """Read ``key=value`` pairs; values are YAML.

    A key is looked for in the policy's settings, the service's, the master's and the model's, in this order; a prefix
    (``policy.``, ``service.``, ``settings.``, ``model.``) says which is meant.

    Raises:
        SimulationInvalid: a pair is not of that form or nothing has such a key; it lists what there is.
    """
    rules: Mapping[str, type[BaseModel]] = {"capacity": CapacitySettings, "ratio": RatioSettings}
    rule = rules.get(policy)
    places: dict[str, set[str]] = {
        "policy": set(rule.model_fields) - {"name"} if rule else set(),
        "service": set(Service.model_fields) - {"policy", "name"},
        "settings": set(Settings.model_fields),
        "model": set(Model.model_fields),
    }
    found: dict[str, dict[str, Any]] = {place: {} for place in places}
    for pair in pairs:
        name, equals, raw = pair.partition("=")
        prefix, dot, key = name.strip().partition(".")
        wanted = [prefix] if dot else list(places)
        key = key if dot else prefix
        place = next((p for p in wanted if key in places.get(p, ())), None)
        if not equals or place is None:
            known = "; ".join(f"{p}: {', '.join(sorted(keys))}" for p, keys in places.items() if keys)
            raise SimulationInvalid(f"--set {pair}: not key=value with a key of the policy {policy}. {known}")
        try:
            found[place][key] = yaml.safe_load(raw)
        except yaml.YAMLError as error:
            raise SimulationInvalid(f"--set {pair}: the value is not YAML: {error}") from error
    return Changes(
        found["policy"], found["service"], found["settings"], _checked(Model, found["model"], "the simulated world")
    )


Checked = TypeVar("Checked", bound=BaseModel)


def _checked(model: type[Checked], values: Mapping[str, Any], what: str) -> Checked:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [f"{'.'.join(str(part) for part in e['loc']) or what}: {e['msg']}" for e in error.errors()]
        raise SimulationInvalid(f"--set: {'; '.join(problems)}") from error
