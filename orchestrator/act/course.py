"""The course of an action: its steps with the seconds since the decision, for each instance by itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from orchestrator.act.means import Means
from orchestrator.act.step import Step, StepName
from orchestrator.core.instance import Instance

Numbers = Mapping[str, float | int | str | None]


class Course:
    """Tells what happens to a service's instances while a decision is carried out."""

    def __init__(self, service: str, decided_at: float, means: Means) -> None:
        """Prepare; all times are counted from ``decided_at``, seconds since the epoch."""
        self._service = service
        self._decided_at = decided_at
        self._means = means
        self._under_way: tuple[Instance, ...] = ()
        self._parts: dict[Instance, dict[str, float]] = {}

    def begin(self, instances: Collection[Instance], words: str) -> None:
        """These are being started or stopped from now on."""
        self._under_way = tuple(instances)
        self._parts = {instance: {} for instance in instances}
        self.progress(words)

    def end(self) -> None:
        """Nothing is under way any more."""
        self._under_way = ()
        self.progress("")

    def progress(self, words: str) -> None:
        """How far it is, in words."""
        self._means.progress(self._under_way, words)

    def parts(self, instance: Instance) -> Numbers:
        """Seconds from the decision to each step of an instance."""
        return dict(self._parts.get(instance, {}))

    def tell(
        self,
        name: StepName,
        detail: str,
        instance: Instance | None = None,
        *,
        at: float | None = None,
        numbers: Numbers | None = None,
        of: Collection[Instance] = (),
    ) -> None:
        """Record a step.

        Args:
            name: what happened.
            detail: in words.
            instance: to which instance, if to one.
            at: when, seconds since the epoch; now unless given.
            numbers: figures for machines besides ``after_s``.
            of: instances that it counts for, too.
        """
        if detail:
            self.progress(f"{name}: {detail}")
        when = self._means.clock.now() if at is None else at
        after = round(when - self._decided_at, 3)
        for one in (*of, *([] if instance is None else [instance])):
            self._parts.setdefault(one, {})[name] = after
        figures = {"after_s": after, **(numbers or {})}
        self._means.record(
            Step(name, self._service, when, detail, None if instance is None else str(instance), figures)
        )
