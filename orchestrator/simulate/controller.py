"""Who decides in a simulation: the product's own loop, or a rival."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from orchestrator.simulate.hands import Hands
from orchestrator.simulate.plant import Plant
from orchestrator.simulate.rivals.seen import Rival, look
from orchestrator.simulate.trace import Event

#: Rivals that add partitions for their members; others' systems leave that to people.
GROWING = ("seed", "oracle")


class Controller(Protocol):
    """Called after each second; keeps what it has decided."""

    @property
    def events(self) -> list[Event]:
        """Decisions to change something, in order."""

    @property
    def kinds(self) -> Counter[str]:
        """Decisions made, by kind."""

    def tick(self) -> None:
        """Look at the second that has passed, and act."""


class RivalController:
    """A rival with the product's hands; one that was lost is replaced once its group notices."""

    def __init__(self, name: str, rival: Rival, plant: Plant) -> None:
        """Put ``rival`` in charge of ``plant``."""
        self.events: list[Event] = []
        self.kinds: Counter[str] = Counter()
        self._name = name
        self._rival = rival
        self._plant = plant
        self._hands = Hands(plant)
        self._wanted = len(self._hands.held)

    def tick(self) -> None:
        """Ask the rival."""
        wanted = self._rival.decide(look(self._plant, self._wanted))
        if wanted is not None:
            changed = wanted != self._wanted
            self.kinds["change" if changed else "keep"] += 1
            if changed:
                words = f"{self._name}: {self._wanted} -> {wanted}"
                self.events.append(Event(float(self._plant.second), self._wanted, wanted, self._name, words))
            self._wanted = wanted
        self._hands.reach(self._wanted)
        members = len(self._plant.members())
        if members > self._plant.partitions and self._name in GROWING:
            self._plant.grow(members)
