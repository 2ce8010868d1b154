"""Settings of the master: the inventory's ``fogverse_settings``, then environment variables, which win.

The names are those of the seed's environment variables; in the inventory they are written in lower case.
``python -m orchestrator.settings`` prints the table of ``docs/settings.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from orchestrator.errors import SettingsInvalid
from orchestrator.servers import ALLOWED as SERVERS_ALLOWED
from orchestrator.servers import parse_servers
from orchestrator.validation import Finding, booleans, findings_of

#: The variable in the inventory that holds the settings.
VARIABLE = "fogverse_settings"
#: Intervals that a window must hold: the last, the one before it, and a baseline.
INTERVALS = 3
#: What a malformed topic name is told to be.
TOPIC_ALLOWED = "letters, digits, '.', '_' and '-', at most 249 of them"
#: Spellings of the seed that are understood, with the right ones.
MISSPELT = {"HEARBEART_DEPLOY_DELAY": "HEARTBEAT_DEPLOY_DELAY"}

Servers = Annotated[tuple[str, ...], BeforeValidator(parse_servers)]
Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]


def _unit(unit: str) -> dict[str, Any]:
    return {"unit": unit}


class Settings(BaseModel):
    """How the master observes, decides and acts; one value of each for the whole fleet.

    Durations are seconds. Each field's description is its documentation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    observer_consumer_topic: Topic = Field(
        default="observer",
        description="Topic on which the instances report their throughput.",
    )
    observer_consumer_servers: Servers | None = Field(
        default=None,
        description="Bootstrap servers of the observer topic; those of `fogverse_kafka` unless set.",
    )
    observer_consumer_group_id: str = Field(
        default="observer",
        min_length=1,
        description="Consumer group with which the master reads the observer topic.",
    )
    kafka_admin_host: Servers | None = Field(
        default=None,
        description="Bootstrap servers for administration (offsets, groups, partitions); "
        "those of `fogverse_kafka` unless set.",
    )
    ledger_topic: Topic = Field(
        default="fogverse-ledger",
        description="Compacted topic that keeps every decision, step and outcome.",
    )
    sleep_time: float = Field(
        default=1,
        gt=0,
        le=60,
        description="Time between two looks at the broker: the tick of the master's loop.",
        json_schema_extra=_unit("s"),
    )
    window_max_second: int = Field(
        default=300,
        ge=10,
        le=86_400,
        description="Length of the window of observations that decisions look at.",
        json_schema_extra=_unit("s"),
    )
    input_output_refresh_rate: int = Field(
        default=60,
        ge=1,
        le=28_800,
        description="Time between two decisions of the policy `ratio`, and the span that each looks at.",
        json_schema_extra=_unit("s"),
    )
    input_output_ratio_threshold: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="Output divided by input below which an instance is missing (policy `ratio`).",
        json_schema_extra=_unit("ratio"),
    )
    z_value: float = Field(
        default=3,
        gt=0,
        description="Distance from the baseline above which traffic is a spike, not a trend.",
        json_schema_extra=_unit("standard deviations"),
    )
    deploy_delay: float = Field(
        default=60,
        ge=0,
        description="Cooldown after a start, during which the service is observed but not scaled.",
        json_schema_extra=_unit("s"),
    )
    heartbeat_deploy_delay: float = Field(
        default=120,
        ge=0,
        description="Cooldown after the first report of a new instance, while it takes effect.",
        json_schema_extra=_unit("s"),
    )
    deploy_deadline: float = Field(
        default=180,
        gt=0,
        description="Deadline of one playbook run; what is not done by then has failed.",
        json_schema_extra=_unit("s"),
    )
    proof_deadline: float = Field(
        default=60,
        gt=0,
        description="Deadline from a live process to an instance that owns a partition and advances.",
        json_schema_extra=_unit("s"),
    )
    ssh_timeout: float = Field(
        default=5,
        gt=0,
        description="Deadline of each phase of an SSH probe: connection, banner, authentication, command.",
        json_schema_extra=_unit("s"),
    )
    quarantine: float = Field(
        default=300,
        ge=0,
        description="Time for which a device gets no new instance after a step on it has failed; doubled with each "
        "failure in a row, until an instance proves itself there.",
        json_schema_extra=_unit("s"),
    )
    quarantine_max: float = Field(
        default=3600,
        ge=0,
        description="Longest time for which a device that fails again and again is left alone.",
        json_schema_extra=_unit("s"),
    )
    max_temperature: float = Field(
        default=80,
        gt=0,
        le=150,
        description="Temperature of a device from which on it gets no new instance.",
        json_schema_extra=_unit("°C"),
    )
    max_load: float = Field(
        default=2,
        gt=0,
        description="Processes running or waiting per processor of a device from which on it comes last.",
        json_schema_extra=_unit("processes"),
    )

    @model_validator(mode="after")
    def _window_holds_a_decision(self) -> Settings:
        if self.window_max_second < INTERVALS * self.input_output_refresh_rate:
            raise ValueError(
                f"window_max_second ({self.window_max_second}) is below {INTERVALS} times input_output_refresh_rate "
                f"({self.input_output_refresh_rate}): a decision looks at two intervals and the time before them"
            )
        return self

    @classmethod
    def load(cls, file_values: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[Settings, tuple[str, ...]]:
        """Put the settings together: defaults, then the inventory's values, then the environment's.

        Args:
            file_values: the inventory's ``fogverse_settings``, keys in lower case.
            environ: environment variables, keys in upper case; an empty one counts as unset.

        Returns:
            The settings, and notices for the user (an old spelling was understood).

        Raises:
            SettingsInvalid: with every problem found.
        """
        if wrong := findings(file_values, environ):
            raise SettingsInvalid(tuple(finding.problem(key=name) for finding, name in wrong))
        values, notices = _merged(file_values, environ)
        return cls.model_validate(values), notices


def findings(file_values: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[tuple[Finding, str | None], ...]:
    """What ``Settings.load`` would refuse; beside each the environment variable it comes from, if one."""
    values, _ = _merged(file_values, environ)
    found = booleans(values, (VARIABLE,), Settings)
    try:
        Settings.model_validate(values)
    except ValidationError as error:
        found = (*found, *findings_of(error, values, (VARIABLE,), Settings, _ALLOWED))
    return tuple((finding, _variable(finding, environ)) for finding in found)


def _merged(file_values: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    notices = []
    values: dict[str, Any] = {}
    for key, value in file_values.items():
        right = MISSPELT.get(str(key).upper())
        if right:
            notices.append(f"{VARIABLE}.{key} is understood as {right.lower()}: please write it so")
            values.setdefault(right.lower(), value)
        else:
            values[str(key)] = value
    for name, right in [*MISSPELT.items(), *((name.upper(), name.upper()) for name in Settings.model_fields)]:
        if environ.get(name):
            if name != right:
                notices.append(f"environment variable {name} is understood as {right}: please write it so")
            values[right.lower()] = environ[name]
    return values, tuple(notices)


def _variable(finding: Finding, environ: Mapping[str, str]) -> str | None:
    name = str(finding.path[1]).upper() if len(finding.path) > 1 else ""
    spellings = (name, *(wrong for wrong, right in MISSPELT.items() if right == name))
    return next((f"environment variable {spelling}" for spelling in spellings if environ.get(spelling)), None)


_ALLOWED = {
    "observer_consumer_servers": SERVERS_ALLOWED,
    "kafka_admin_host": SERVERS_ALLOWED,
    "observer_consumer_topic": TOPIC_ALLOWED,
    "ledger_topic": TOPIC_ALLOWED,
}


def table() -> str:
    """The settings as a Markdown table: what ``docs/settings.md`` contains."""
    rows = ["| Environment variable | Key in `fogverse_settings` | Default | Unit | Meaning |", "|---|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra
        unit = extra["unit"] if isinstance(extra, dict) else ""
        default = "not set" if field.default is None else f"`{field.default}`"
        rows.append(f"| `{name.upper()}` | `{name}` | {default} | {unit} | {field.description} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
