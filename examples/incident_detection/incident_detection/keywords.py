"""Keywords: the terms that say what kind of incident a message is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from .words import words


class Keywords:
    """Terms learned from messages that people have labelled with a keyword.

    Attributes:
        counts: term → (incidents, messages) labelled with it.
    """

    def __init__(self, counts: Mapping[str, tuple[int, int]]) -> None:
        self.counts = dict(sorted(counts.items()))
        self._terms: dict[tuple[str, ...], str] = {}
        for term in sorted(self.counts, key=lambda term: (-self.counts[term][1], term)):
            # Several spellings of one stem ("flood", "flooding"): the one used most stands for all.
            self._terms.setdefault(tuple(words(term)), term)
        self._longest = max(map(len, self._terms), default=0)

    @classmethod
    def learn(cls, labelled: Iterable[tuple[str, bool]]) -> Keywords:
        """Count (keyword, is it an incident) pairs; messages without a keyword (``""``) tell nothing."""
        incidents: Counter[str] = Counter()
        messages: Counter[str] = Counter()
        for keyword, incident in labelled:
            if words(keyword):
                messages[keyword] += 1
                incidents[keyword] += incident
        return cls({term: (incidents[term], count) for term, count in messages.items()})

    def find(self, stems: Sequence[str]) -> str | None:
        """Name the keyword of a message given by its stems; None when it has none.

        The longest term wins ("forest fire" before "fire"), then the one most often about an incident,
        then the first in the text.
        """
        for length in range(min(self._longest, len(stems)), 0, -1):
            spans = (tuple(stems[at : at + length]) for at in range(len(stems) - length + 1))
            found = [self._terms[span] for span in spans if span in self._terms]
            if found:
                return max(found, key=self._share)
        return None

    def _share(self, term: str) -> float:
        incidents, messages = self.counts[term]
        return (incidents + 1) / (messages + 2)  # with a doubt that fades as messages come in
