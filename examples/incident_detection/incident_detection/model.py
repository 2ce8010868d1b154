"""The classifier: is a message about a real incident, how surely, and what about?"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nltk.classify.naivebayes import NaiveBayesClassifier
from nltk.probability import ELEProbDist, FreqDist

from .keywords import Keywords
from .labelled import Labelled
from .words import words

#: The model that ``python -m incident_detection.train`` writes and that the analyzer loads.
DEFAULT_MODEL = Path(__file__).with_name("model.json")

FORMAT = 1
MORE_LIKELY_THAN_NOT = 0.5


class ModelError(Exception):
    """A model file is missing or is not one of ours; the text says how to make one."""


@dataclass(frozen=True)
class Verdict:
    """What the model thinks of one message.

    Attributes:
        incident: True when it is about a real incident.
        keyword: what the incident is about; None when the message names no known term or is no incident.
        score: probability of an incident, 0 to 1.
    """

    incident: bool
    keyword: str | None
    score: float


class Model:
    """NLTK's naive Bayes over the words of a message, kept as counts.

    Counts are all that naive Bayes learns. Saved as JSON they are small, can be read by people, come out
    the same wherever they are made, and unlike a pickle they cannot run code in the process that loads them.

    Attributes:
        messages: (incidents, others) it was trained on.
        counts: word → (incidents, others) that contain it.
        keywords: the terms it can name.
    """

    def __init__(self, messages: tuple[int, int], counts: Mapping[str, tuple[int, int]], keywords: Keywords) -> None:
        self.messages = messages
        self.counts = dict(sorted(counts.items()))
        self.keywords = keywords
        self._classifier = NaiveBayesClassifier(
            ELEProbDist(FreqDist({True: messages[0], False: messages[1]})),
            {
                (label, word): _presence(among[position], messages[position], always=among == messages)
                for word, among in self.counts.items()
                for position, label in enumerate((True, False))
            },
        )

    @classmethod
    def train(cls, examples: Iterable[Labelled]) -> Model:
        """Learn from labelled messages.

        Raises:
            ModelError: one of the two kinds of message is missing.
        """
        examples = list(examples)
        incidents: Counter[str] = Counter()
        others: Counter[str] = Counter()
        for example in examples:
            (incidents if example.incident else others).update(set(words(example.text)))
        total = sum(example.incident for example in examples)
        messages = (total, len(examples) - total)
        if not all(messages):
            raise ModelError(
                f"{messages[0]} incidents and {messages[1]} other messages to learn from: it takes both kinds, "
                "target 1 and target 0"
            )
        return cls(
            messages,
            {word: (incidents[word], others[word]) for word in incidents | others},
            Keywords.learn((example.keyword, example.incident) for example in examples),
        )

    def judge(self, text: str) -> Verdict:
        """Judge one message. A message without any known word gets the share of incidents in training."""
        stems = words(text)
        score = float(self._classifier.prob_classify(dict.fromkeys(stems, True)).prob(True))
        incident = score >= MORE_LIKELY_THAN_NOT
        return Verdict(incident, self.keywords.find(stems) if incident else None, score)

    def save(self, path: Path) -> None:
        """Write the model as JSON, sorted: the same training data gives the same bytes.

        Raises:
            ModelError: the file cannot be written.
        """
        document = {
            "format": FORMAT,
            "messages": self.messages,
            "keywords": self.keywords.counts,
            "words": self.counts,
        }
        half = path.with_name(f"{path.name}.new")
        try:
            half.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")
            half.replace(path)
        except OSError as error:
            raise ModelError(f"cannot write the model: {error}") from error

    @classmethod
    def load(cls, path: Path | None = None) -> Model:
        """Read a model that ``save`` has written: ``DEFAULT_MODEL`` unless another is named.

        Raises:
            ModelError: there is no such file, or its content is not a model of this format.
        """
        path = path or DEFAULT_MODEL
        mend = "make one with: python -m incident_detection.train"
        try:
            document: Any = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ModelError(f"no model at {path}; {mend}") from error
        except (OSError, ValueError, RecursionError) as error:
            raise ModelError(f"{path} cannot be read as a model ({error}); {mend}") from error
        try:
            if document["format"] != FORMAT:
                raise ModelError(f"{path} has format {document['format']!r}, not {FORMAT}; {mend}")
            return cls(
                _pair(document["messages"], least=1),
                {word: _pair(pair) for word, pair in document["words"].items()},
                Keywords({term: _pair(pair) for term, pair in document["keywords"].items()}),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ModelError(f"{path} is not a model: {error!r}; {mend}") from error


def _presence(present: int, messages: int, *, always: bool) -> ELEProbDist:
    """Build P(word is in the message) for one label, as ``NaiveBayesClassifier.train`` does."""
    outcomes = 1 if always else 2  # a word of every message has no "absent" to leave room for
    return ELEProbDist(FreqDist({True: present, None: messages - present}), bins=outcomes)


def _pair(value: Any, *, least: int = 0) -> tuple[int, int]:
    first, second = value
    if not (type(first) is type(second) is int and first >= least and second >= least):
        raise ValueError(f"{value!r} is not a pair of counts")
    return first, second
