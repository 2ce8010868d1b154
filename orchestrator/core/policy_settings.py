"""What a user may set of a policy, each with its default, unit and meaning; ``docs/policy.md`` shows the tables."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RatioSettings(_Frozen):
    """Settings of the policy ``ratio`` for one service; unset ones fall back to the master's settings.

    Attributes:
        threshold: output/input below which an instance is missing (0 to 1).
        z_value: standard deviations above the baseline from which traffic counts as a spike.
        refresh_s: seconds between two decisions, and the span that each looks at.
    """

    name: Literal["ratio"] = "ratio"
    threshold: float | None = Field(default=None, gt=0, le=1)
    z_value: float | None = Field(default=None, gt=0)
    refresh_s: int | None = Field(default=None, ge=1, le=28_800)


def _setting(default: Any, unit: str, description: str, **bounds: Any) -> Any:
    return Field(default=default, description=description, json_schema_extra={"unit": unit}, **bounds)


class CapacitySettings(_Frozen):
    """Settings of the policy ``capacity`` for one service; also the rule that it decides by.

    Each field's description is its documentation.
    """

    name: Literal["capacity"] = "capacity"
    refresh_s: int = _setting(5, "s", "Time between two decisions.", ge=1, le=3600)
    utilisation: float = _setting(
        0.7, "share", "Share of its capacity that the fleet is given to do: what it is sized for.", gt=0, le=1
    )
    utilisation_max: float = _setting(
        0.9, "share", "Share above which instances are added: the upper end of the dead band.", gt=0, le=1
    )
    catch_up_s: float = _setting(120, "s", "Time in which a backlog is to be gone.", gt=0, le=86_400)
    backlog_s: float = _setting(
        3, "s", "How many seconds of arrival may wait before they count as a backlog.", ge=0, le=3600
    )
    startup_s: float = _setting(
        20, "s", "Time from a decision to an instance's first message, until it has been measured.", ge=0, le=3600
    )
    startup_quantile: float = _setting(
        0.75, "share", "Quantile of the measured start-up times that is reckoned with.", gt=0, le=1
    )
    persistence_s: int = _setting(
        10,
        "s",
        "Time whose median second is the arrival: what lasts less than half of it does not count.",
        ge=3,
        le=600,
    )
    steady_s: int = _setting(60, "s", "Time over which slow changes and the output are measured.", ge=10, le=3600)
    noise_z: float = _setting(
        2, "standard errors", "How far above the dead band, in the noise's own measure, arrival must be.", ge=0, le=10
    )
    stabilise_s: float = _setting(
        300, "s", "Time whose highest recommendation must be below the fleet before it shrinks.", ge=0, le=86_400
    )
    up_delay_s: float = _setting(
        30, "s", "Cooldown after a start, and after a new instance was first seen, for starting more.", ge=0, le=86_400
    )
    down_delay_s: float = _setting(
        120, "s", "Cooldown after a start or a stop, for stopping instances.", ge=0, le=86_400
    )
    growth: float = _setting(
        2, "factor", "Factor by which a saturated fleet grows whose capacity is not known yet.", gt=1, le=10
    )
    learn_busy: float = _setting(
        0.5, "share", "Share of its time that an instance is busy before its rate teaches anything.", gt=0, le=1
    )
    settle_s: float = _setting(
        30, "s", "Time from a new instance's first report until its effect is judged.", ge=0, le=3600
    )
    effect: float = _setting(
        0.5, "share", "Share of the predicted rise in throughput that counts as an effect.", gt=0, le=1
    )
    hold_s: float = _setting(
        600, "s", "Time for which a scale-out that did not help is not repeated, unless something changes.", ge=0
    )
    change: float = _setting(
        0.3, "share", "Rise in arrival that counts as a change after a scale-out that did not help.", gt=0
    )
    hot_share: float = _setting(
        0.8, "share", "Share of the lag in one partition from which it counts as hot.", gt=0.5, le=1
    )
    stuck_s: float = _setting(
        60, "s", "Time without a commit on a partition that has lag after which its next record counts as stuck.", gt=0
    )
    slow_share: float = _setting(
        0.5, "share", "Share of its class's rate below which an instance's device counts as bad.", gt=0, lt=1
    )

    @model_validator(mode="after")
    def _in_order(self) -> CapacitySettings:
        if self.utilisation_max < self.utilisation:
            raise ValueError(
                f"utilisation_max ({self.utilisation_max:g}) is below utilisation ({self.utilisation:g}): "
                "the dead band ends before it begins"
            )
        if self.steady_s < self.persistence_s:
            raise ValueError(f"steady_s ({self.steady_s}) is below persistence_s ({self.persistence_s})")
        return self


PolicySettings = Annotated[RatioSettings | CapacitySettings, Field(discriminator="name")]


def table() -> str:
    """The settings of the policy ``capacity`` as a Markdown table: what ``docs/policy.md`` contains."""
    rows = ["| key | default | unit | meaning |", "|---|---|---|---|"]
    for name, field in CapacitySettings.model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict):
            rows.append(f"| `{name}` | `{field.default}` | {extra['unit']} | {field.description} |")
    return "\n".join(rows)
