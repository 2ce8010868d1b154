"""Train the model: ``python -m incident_detection.train [--csv FILE] [--model FILE]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .labelled import CORPUS, DataError, Labelled, read_labelled
from .model import DEFAULT_MODEL, Model, ModelError
from .score import Score, split

#: Something has to be left to learn from.
MOST_HELD_OUT = 0.9


def evaluate(examples: Sequence[Labelled], *, holdout: float = 0.2, seed: int = 0) -> Score:
    """Train on a part of ``examples`` and score the model on the rest, which it has not seen.

    Raises:
        ModelError: one part has no incidents, or nothing else.
    """
    kept, held = split(examples, holdout=holdout, seed=seed)
    model = Model.train(kept)
    return Score.of((model.judge(example.text).incident, example.incident) for example in held)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, print the figures of the held-out part, save. Exit code 0, or 1 with the reason on stderr."""
    options = _parser().parse_args(arguments)
    try:
        examples = read_labelled(options.csv)
        if options.holdout:
            score = evaluate(examples, holdout=options.holdout, seed=options.seed)
            print(f"held-out {options.holdout:.0%} of {len(examples)} messages: {score}")
        model = Model.train(examples)
        model.save(options.model)
    except (DataError, ModelError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    incidents, others = model.messages
    print(
        f"trained on all {incidents + others} messages ({incidents} incidents, {len(model.counts)} words, "
        f"{len(model.keywords.counts)} keywords): {options.model}"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m incident_detection.train",
        description="Train the incident classifier. The figures come from a model that has not seen the "
        "held-out messages; the model that is saved has seen them all.",
    )
    parser.add_argument(
        "--csv",
        type=Path,
        default=CORPUS,
        metavar="FILE",
        help="columns text, target (1 = incident, 0 = not) and optionally keyword [the example's corpus]",
    )
    parser.add_argument(
        "--model", type=Path, default=DEFAULT_MODEL, metavar="FILE", help="where to write it [beside the code]"
    )
    parser.add_argument(
        "--holdout",
        type=_share,
        default=0.2,
        metavar="SHARE",
        help=f"0 to {MOST_HELD_OUT} held back to score [0.2]; 0: no score",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the split [0]")
    return parser


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= MOST_HELD_OUT:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {MOST_HELD_OUT}")
    return value


if __name__ == "__main__":
    sys.exit(main())
