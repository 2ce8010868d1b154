"""A real Apache Kafka broker on this machine: one node, broker and controller in one process (KRaft)."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Literal

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from lab import files
from lab.daemon import Daemon
from lab.errors import LabError
from lab.guard import SUPER_USER, Guard
from lab.java import java_command
from lab.locks import locked
from lab.netns import entered
from lab.ports import accepts, require_free

_PROPERTIES = Path(__file__).with_name("assets") / "server.properties"
_STOP_S = 30.0


@dataclass(frozen=True)
class BrokerStatus:
    """What is known about a broker without asking it.

    Attributes:
        state: ``running``; ``stopped``; or ``stale``, when it died without being stopped.
        pid: its process while running.
        bootstrap: ``host:port`` where it listens, or listened last; None for one that never ran.
        netns: the network namespace it is reached in, None for the machine's own.
        log: its log file.
    """

    state: Literal["running", "stopped", "stale"]
    pid: int | None
    bootstrap: str | None
    netns: str | None
    log: Path


@dataclass(frozen=True)
class LocalBroker:
    """One broker with all its files in one folder; every method may be called from another process.

    Attributes:
        folder: data, settings, log, pid file and ``broker.json``, which says where it listens.
        jars: folder filled by :func:`lab.jars.collect`.
        host: address to listen on.
        port: port for clients; ``port + 1`` is the controller's.
        netns: network namespace to run in, None for the machine's own.
        java_options: further options of the Java machine.
        guard: TLS, users and rights; None for a broker that is open to everybody.
    """

    folder: Path
    jars: Path
    host: str = "127.0.0.1"
    port: int = 19092
    netns: str | None = None
    java_options: Sequence[str] = ()
    guard: Guard | None = None

    @property
    def bootstrap(self) -> str:
        """``host:port`` for clients."""
        return f"{self.host}:{self.port}"

    @property
    def log(self) -> Path:
        """The broker's log file."""
        return self.folder / "broker.log"

    def up(self, timeout_s: float = 60.0) -> None:
        """Start it, unless it runs, and wait until it answers. Data of an earlier run is used again.

        Raises:
            LabError: a port is taken, the process died (its last words are in the text), it runs
                elsewhere already, or it does not answer within ``timeout_s`` seconds.
        """
        deadline = time.monotonic() + timeout_s
        with locked(self._lock, timeout_s):
            running = self._daemon.pid() is not None
            if running:
                self._require_same_place()
            else:
                self._start()
            self._wait_until_it_answers(deadline, timeout_s)

    def down(self) -> None:
        """Stop it in an orderly way; its data stays."""
        if not self.folder.exists():
            return
        with locked(self._lock):
            self._daemon.stop(_STOP_S)

    def purge(self) -> None:
        """Stop it and delete its folder with all topics."""
        if not self.folder.exists():
            return
        with locked(self._lock):
            self._daemon.stop(_STOP_S)
            shutil.rmtree(self.folder)

    def kill(self) -> None:
        """Kill it as a power cut would (SIGKILL); ``up`` recovers its data."""
        self._daemon.kill()

    def status(self) -> BrokerStatus:
        """Its state as files and processes tell it."""
        pid = self._daemon.pid()
        place = self._place()
        state: Literal["running", "stopped", "stale"] = "stopped"
        if pid is not None:
            state = "running"
        elif self._daemon.stale():
            state = "stale"
        bootstrap = f"{place['host']}:{place['port']}" if place else None
        netns = place.get("netns")
        return BrokerStatus(state, pid, bootstrap, str(netns) if netns else None, self.log)

    @property
    def _lock(self) -> Path:
        return self.folder / "broker.lock"

    @property
    def _properties(self) -> Path:
        return self.folder.absolute() / "server.properties"

    @property
    def _daemon(self) -> Daemon:
        return Daemon(self.folder / "broker.pid", mark=str(self._properties))

    def _start(self) -> None:
        command = java_command(self.jars, "kafka.Kafka", str(self._properties), options=self.java_options)
        with entered(self.netns):
            require_free(self.host, self.port)
            require_free(self.host, self.port + 1)
        if self.guard is not None:
            self.guard.certify(self.host)
        self._format()
        files.write(self._properties, self._settings(self.folder.absolute() / "data"), mode=0o600)
        place = {"host": self.host, "port": self.port, "netns": self.netns}
        files.write(self.folder / "broker.json", json.dumps(place) + "\n")
        self._daemon.start(command, log=self.log, netns=self.netns)

    def _format(self) -> None:
        """Prepare the data folder once; under another name until it is complete."""
        data = self.folder.absolute() / "data"
        if data.exists():
            return
        aside = self.folder.absolute() / "data.new"
        shutil.rmtree(aside, ignore_errors=True)
        properties = self.folder.absolute() / "format.properties"
        files.write(properties, self._settings(aside), mode=0o600)
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if cluster.startswith("-"):  # it would be read as an option
            cluster = "A" + cluster[1:]
        users = self.guard.format_options() if self.guard is not None else []
        command = java_command(
            self.jars, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties), *users
        )
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"the broker's data folder cannot be prepared: {_last(done.stdout + done.stderr)}")
        properties.unlink()
        aside.rename(data)

    def _settings(self, data: Path) -> str:
        values = {"protocol": "PLAINTEXT", "controller": f"{self.host}:{self.port + 1}", "more": ""}
        if self.guard is not None:
            values = self.guard.properties(self.port + 1)
        return Template(_PROPERTIES.read_text(encoding="utf-8")).substitute(
            values, host=self.host, port=self.port, data=data
        )

    def _place(self) -> dict[str, object]:
        try:
            place = json.loads((self.folder / "broker.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return place if isinstance(place, dict) else {}

    def _require_same_place(self) -> None:
        place = self._place()
        wanted = {"host": self.host, "port": self.port, "netns": self.netns}
        if place != wanted:
            where = f"{place.get('host')}:{place.get('port')}"
            raise LabError(
                f"the broker of {self.folder} runs on {where} already: stop it with 'orchestrator lab kafka down' first"
            )

    def _wait_until_it_answers(self, deadline: float, timeout_s: float) -> None:
        with entered(self.netns):
            while not (accepts(self.host, self.port) and self._lists_itself()):
                if self._daemon.ended(0.03):
                    raise LabError(f"the broker died, see {self.log}:\n{files.tail(self.log)}")
                if time.monotonic() > deadline:
                    raise LabError(
                        f"the broker on {self.bootstrap} has not answered within {timeout_s:.0f} s, "
                        f"see {self.log}:\n{files.tail(self.log)}"
                    )

    def _lists_itself(self) -> bool:
        """Whether the broker is a live member of its cluster: one that only listens cannot make topics yet."""
        options: dict[str, Any] = self.guard.client_options(SUPER_USER) if self.guard is not None else {}
        try:
            client = KafkaAdminClient(
                bootstrap_servers=self.bootstrap, client_id="lab", request_timeout_ms=5000, **options
            )
        except KafkaError:
            return False
        try:
            return bool(client.describe_cluster()["brokers"])
        except KafkaError:
            return False
        finally:
            client.close()


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no output"
