"""A master among others: it leads whenever it may, and stands by when another one does."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.broker import ledger
from orchestrator.broker.lead import group_of
from orchestrator.broker.leadership import Leadership, Term
from orchestrator.broker.ledger import Entry
from orchestrator.master import Master

log = logging.getLogger(__name__)

#: How soon it is clear that another master leads, when one does.
_STANDBY_S = 3.0


class Candidacy:
    """Leads whenever it may, and stands by when another master does."""

    def __init__(self, options: Mapping[str, Any], ledger_topic: str, build: Callable[[Term], Master]) -> None:
        """Remember how to connect; nothing is contacted before :meth:`run`.

        Args:
            options: kafka-python's connection options.
            ledger_topic: the ledger's topic; it and the state beside it exist.
            build: puts the master of a term together.
        """
        self.stop = threading.Event()
        self._options = options
        self._topic = ledger_topic
        self._build = build
        self._master: Master | None = None

    def run(self) -> None:
        """Lead, term after term, until ``stop`` is set and the master under way has ended.

        Raises:
            BrokerUnreachable: no broker answered at the start of a term.
        """
        topic = ledger.state_topic(self._topic)
        leadership = Leadership(self._options, topic, group_of(self._topic), self._hear)
        leadership.start()
        try:
            while not self.stop.is_set():
                term = self._wait(leadership)
                if term is None:
                    return
                log.info("leading now (term %d)", term.number)
                self._master = self._build(term)
                if self.stop.is_set():
                    self._master.stop.set()
                kept = ledger.read_state(self._options, self._topic)
                self._master.run(ledger.read(self._options, self._topic), kept.values())
                self._master = None
        finally:
            leadership.close()

    def end(self) -> None:
        """End what is under way; safe in a signal's handler."""
        self.stop.set()
        if self._master is not None:
            self._master.stop.set()

    def _wait(self, leadership: Leadership) -> Term | None:
        told = threading.Timer(_STANDBY_S, log.info, ("another master leads: standing by",))
        told.daemon = True
        told.start()
        try:
            return leadership.wait(self.stop)
        finally:
            told.cancel()

    def _hear(self, entry: Entry) -> None:
        if self._master is not None:
            self._master.hear(entry)
