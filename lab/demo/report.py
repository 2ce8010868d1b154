"""The demo's report and its verdict: pure, from what was seen to what is claimed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What the demo saw.

    Attributes:
        produced: messages that the broker acknowledged.
        processed: different ids that came out.
        lost: produced ids that never came out.
        duplicates: messages that came out more often than once (at-least-once allows it).
        capacity_per_s: messages per second that one instance could finish, as measured.
        rates_per_s: the rates of the story: carried, spike, overload.
        decisions: every decision with its reason.
        partitions_before: of the source topic, at the start.
        partitions_after: at the end.
        deployments_before_overload: instances asked for between the first one and the overload.
        second_instance: the instance that was added; None when none was.
        second_finished: messages that it finished.
        time_to_scale_s: seconds from the decision to each stage.
        recovered: whether the ratio was back above the threshold under the overload.
        lag_peak: the highest lag seen.
        lag_end: the lag at the end.
        story_s: how long the story took.
    """

    produced: int
    processed: int
    lost: int
    duplicates: int
    capacity_per_s: float
    rates_per_s: Mapping[str, float]
    decisions: tuple[Mapping[str, Any], ...]
    partitions_before: int | None
    partitions_after: int | None
    deployments_before_overload: int
    second_instance: str | None
    second_finished: int
    time_to_scale_s: Mapping[str, float]
    recovered: bool
    lag_peak: int
    lag_end: int | None
    story_s: float

    def failures(self) -> list[str]:
        """What keeps the verdict from being 'passed'; empty when nothing does."""
        checks = [
            (self.produced > 0, "nothing was produced"),
            (self.lost == 0, f"{self.lost} messages were lost"),
            (self.deployments_before_overload == 0, "the spike, or nothing at all, caused a deployment"),
            (self.second_instance is not None, "no second instance was proved"),
            (self.second_finished > 0, "the second instance finished no message"),
            (
                (self.partitions_after or 0) > (self.partitions_before or 0),
                f"partitions went from {self.partitions_before} to {self.partitions_after}",
            ),
            (any(d["kind"] == "spike" for d in self.decisions), "no decision named the spike"),
            (self.recovered, "the ratio did not recover under the overload"),
            (self.lag_end == 0, f"a lag of {self.lag_end} was left"),
        ]
        return [words for passed, words in checks if not passed]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, with the verdict."""
        failures = self.failures()
        return {"verdict": "failed" if failures else "passed", "failures": failures, **asdict(self)}
