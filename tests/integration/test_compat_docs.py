"""The programs in the documentation, run as they stand there against a real broker and the real master."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from test_compat_nodes import Nodes, Program
from test_runtime_broker import until

from fogverse import ExitCode
from fogverse.compat import ProducerObserver
from fogverse.topics import partitions_of
from lab.broker import LocalBroker
from lab.ports import free_port
from orchestrator.broker.ledger import Entry
from orchestrator.core.report import Pair, Report, Throughput, parse

pytestmark = pytest.mark.broker

DOCS = Path(__file__).parents[2] / "docs"
#: kafka-python reads its schemas in a way that Python 3.11 deprecates.
KAFKA_PYTHON = ("-W", "ignore::DeprecationWarning")
SETTINGS = {"input_output_refresh_rate": 2, "window_max_second": 20, "ssh_timeout": 1}


class Pages(Nodes):
    """The programs of the pages, and the topics that they name."""

    def __init__(self, broker: LocalBroker, folder: Path) -> None:
        super().__init__(broker, folder)
        self.source, self.target, self.observer, self.name = "analyze", "client", "observer", "analyzer"
        for page in ("using-master.md", "sending-information-to-master.md"):
            for name, program in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", (DOCS / page).read_text(), re.DOTALL):
                (folder / name).write_text(program)

    @contextmanager
    def page(self, name: str, *arguments: str, **variables: str) -> Iterator[Program]:
        """A program of a page, with the broker's address in the environment and nothing else."""
        servers = dict.fromkeys(("CONSUMER_SERVERS", "PRODUCER_SERVERS", "KAFKA_ADMIN_HOST"), self.bootstrap)
        command = [sys.executable, "-W", "error", *KAFKA_PYTHON, str(self.folder / name), *arguments]
        running = Program(command, os.environ | servers | variables, self.folder)
        try:
            yield running
        finally:
            running.kill()

    def counted(self) -> list[dict[str, float]]:
        """The numbers of the master's decisions that rest on what ProducerObserver has said."""
        entries = [Entry.decode(record.value() or b"") for record in self.records("fogverse-ledger")]
        found = [e.body["numbers"] for e in entries if e is not None and (e.kind, e.service) == ("decision", "judge")]
        return [n for n in found if n["output_from"] == "throughput" and n["output_per_s"] and n["input_per_s"]]

    def shares(self) -> list[float]:
        """What went out of what came in, by decision."""
        return [numbers["output_per_s"] / numbers["input_per_s"] for numbers in self.counted()]

    def told(self) -> list[Report | Throughput | Pair]:
        return [parse(record.value()) for record in self.records(self.observer)]


@pytest.fixture(scope="module")
def pages(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """On a broker of their own: the pages name their topics."""
    started = LocalBroker(tmp_path_factory.mktemp("docs") / "kafka", jars, port=free_port())
    try:
        started.up()
        yield Pages(started, tmp_path_factory.mktemp("programs"))
    finally:
        started.purge()


def test_sending_information_to_master(pages: Pages) -> None:
    """FogVerse's examples with changed imports: the topic grows, nothing is lost, and the master is told the truth."""
    pages.create(pages.target, pages.observer)
    with pages.page("analyzer.py", CLIENT_ID="analyzer@pi-1.1") as first:
        until(lambda: partitions_of(pages.admin, pages.source) == 1, within_s=60)
        with pages.page("analyzer.py", CLIENT_ID="analyzer@pi-2.1") as second:
            until(
                lambda: partitions_of(pages.admin, pages.source) == 2 or second.process.poll() is not None, within_s=60
            )
            assert partitions_of(pages.admin, pages.source) == 2, second.log
            with pages.page("crawler.py") as crawler:
                assert crawler.ends() == ExitCode.OK
            with pages.page("webhook.py") as webhook:
                assert webhook.ends() == ExitCode.OK
            until(lambda: pages.out().total() == 4, within_s=60)
            assert (first.stop(), second.stop()) == (ExitCode.OK, ExitCode.OK)
    assert pages.out() == Counter(
        [
            "incident: fire downtown",
            "quiet: all is well",
            "incident: flood at the river",
            "incident: fire at the station",
        ]
    )
    told = pages.told()
    sent = Counter[str]()
    for message in told:
        if isinstance(message, Throughput):
            sent[message.target_topic] += message.total_messages
    assert sent == {"analyze": 4, "client": 4}
    pairs = [message for message in told if isinstance(message, Pair)]
    assert [(p.source_topic, p.target_topic, (p.deploy_configs or {})["max_instance"]) for p in pairs] == [
        ("analyze", "client", 3)
    ] * 2
    assert sum(message.consumed for message in told if isinstance(message, Report)) == 4


def test_using_master(pages: Pages, tmp_path: Path) -> None:
    """The real master, run by the page's program, counts what ProducerObserver says; so does a master of one's own."""
    pages.create("posts", "verdicts", *({pages.observer} - set(pages.admin.list_topics(timeout=10).topics)))
    inventory = write_inventory(tmp_path / "inventory", pages.bootstrap)
    producer = pages.producer()
    observer = ProducerObserver("observer")
    over = threading.Event()

    def feed() -> None:
        while not over.wait(0.1):
            for _ in range(4):
                producer.produce("posts", b"post")
            observer.send_total_successful_messages(
                "verdicts", 1, lambda topic, payload: producer.produce(topic=topic, value=payload)
            )
            producer.poll(0)

    observer.send_input_output_ratio_pair("posts", "strange", None, lambda t, p: producer.produce(topic=t, value=p))
    feeding = threading.Thread(target=feed)
    feeding.start()
    try:
        with (
            pages.page("counting_master.py", pages.bootstrap) as counting,
            pages.page("master.py", FOGVERSE_INVENTORY=str(inventory)) as master,
        ):
            master.says("announced the pair posts -> strange", within_s=60)
            # a quarter, but for the intervals of two seconds whose edges cut something off
            until(lambda: any(0.1 < share < 0.5 for share in pages.shares()), within_s=60)
            counting.says("sent {", within_s=30)
            until(lambda: any("'verdicts': " in line for line in counting.log), within_s=30)
            master.process.send_signal(signal.SIGTERM)
            assert master.ends(30) == 0
            assert counting.stop() == ExitCode.OK
            counting.says("the master ends")
    finally:
        over.set()
        feeding.join()
        producer.flush(10)


def write_inventory(folder: Path, bootstrap: str) -> Path:
    """One service of FogVerse's own nodes, one device that does not answer."""
    service = {
        "source_topic": "posts", "target_topic": "verdicts", "group_id": "judge", "hosts": "fog", "min_instances": 0,
        "artifact": "examples/incident_detection", "entrypoint": "incident_detection.analyzer:process",
        "policy": {"name": "ratio"},
    }  # fmt: skip
    device = {"ansible_host": "127.0.0.1", "ansible_port": free_port(), "ansible_user": "nobody"}
    variables = {
        "fogverse_kafka": {"bootstrap_servers": bootstrap},
        "fogverse_services": {"judge": service},
        "fogverse_settings": SETTINGS,
        "fogverse_known_hosts": str(folder / "known_hosts"),
    }
    (folder / "group_vars").mkdir(parents=True)
    (folder / "hosts.yml").write_text(yaml.safe_dump({"fog": {"hosts": {"pi-1": device}}}))
    (folder / "group_vars" / "all.yml").write_text(yaml.safe_dump(variables))
    return folder
