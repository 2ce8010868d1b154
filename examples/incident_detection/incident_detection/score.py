"""How good a model is: the part of the data held back, and the usual four figures."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .labelled import Labelled
from .words import words


@dataclass(frozen=True)
class Score:
    """Accuracy, precision, recall and F1 (all 0 to 1) of verdicts, "incident" being the positive class."""

    accuracy: float
    precision: float
    recall: float
    f1: float

    @classmethod
    def of(cls, verdicts: Iterable[tuple[bool, bool]]) -> Score:
        """Score pairs (said to be an incident, is an incident). What cannot be computed counts as 0."""
        pairs = list(verdicts)
        hits = sum(said and true for said, true in pairs)
        said_so = sum(said for said, _ in pairs)
        true_ones = sum(true for _, true in pairs)
        right = sum(said == true for said, true in pairs)
        return cls(
            accuracy=_share(right, len(pairs)),
            precision=_share(hits, said_so),
            recall=_share(hits, true_ones),
            f1=_share(2 * hits, said_so + true_ones),
        )

    def __str__(self) -> str:
        return (
            f"accuracy {self.accuracy:.3f}, precision {self.precision:.3f}, recall {self.recall:.3f}, F1 {self.f1:.3f}"
        )


def split(examples: Sequence[Labelled], *, holdout: float, seed: int) -> tuple[list[Labelled], list[Labelled]]:
    """Split into (to learn from, held back), the held-back share being ``holdout`` (0 to 1).

    Messages with the same words (the same text with another link, say) stay on one side: found on both,
    they would make the figures look better than they are.
    """
    alike: dict[tuple[str, ...], list[Labelled]] = defaultdict(list)
    for example in examples:
        alike[tuple(word for word in words(example.text) if not word.startswith("<"))].append(example)
    groups = sorted(alike)
    random.Random(seed).shuffle(groups)  # noqa: S311 (a split that can be repeated is what is wanted)
    held: list[Labelled] = []
    kept: list[Labelled] = []
    for group in groups:
        (held if len(held) < holdout * len(examples) else kept).extend(alike[group])
    return kept, held


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
