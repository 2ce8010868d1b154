"""Seconds until an instance runs on each of 32 prepared devices, all told at once, and the master's memory meanwhile.

    python benchmarks/fleet_deploy.py [--hosts 32] [--rounds 3] [--json FILE]

Every contender starts the same unit of the same release on the same devices, all of which have a cold SSH connection,
and its clock stops when the broker lists the last instance as a member of the group. Named alternatives, one after the
other in each round:

- *ansible defaults*: the same playbook, ``playbooks/deploy.yml``, by ``ansible-playbook`` with an ``ansible.cfg`` that
  says nothing but where roles are. So: 5 forks, no pipelining, connections kept for 60 s, Ansible's own choice of the
  device's Python. The playbook itself gathers no facts, here as there.
- *raw ssh*: one ``ssh`` for each device, all at once, that pipes the very shell script of the role into ``sudo sh``.
- *pyinfra*: ``server.shell`` with that script, with sudo, and as many connections at once as it likes (its default).

*ours* is the master's own path: one decision for all devices, one Ansible run, each instance proved from Kafka; its
figure is taken at the same instant as the others', and the time until all are proved is printed beside it.

The devices have a processor of their own, as Pis do, and so has the master: all cores but one are shared out among
the devices, each of which is limited to its share (3 % of a core for 32 of them on two cores). Otherwise they would
queue for the same cores, and keep the master from telling the next of them, which no choice of tool could change and
no fleet knows. The code they start does nothing, for the same reason. The
topic has a partition for each device beforehand. Medians; needs root. pyinfra wants an older paramiko than the
master: it is taken from an environment of its own, see docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from kafka import KafkaAdminClient

from lab import base, image, jars
from lab.fleet import Lab
from lab.inventory import write
from lab.netns import entered
from lab.prepare import prepare
from orchestrator.act.actuator import Actuator
from orchestrator.act.means import Means
from orchestrator.act.scaleout import ScaleOut
from orchestrator.act.step import Step
from orchestrator.broker.book import ReportBook
from orchestrator.broker.cluster import Cluster
from orchestrator.cli.context import Context, Options, open_context
from orchestrator.clock import SystemClock
from orchestrator.core.instance import Instance
from orchestrator.core.placement import Placement
from orchestrator.core.quarantine import Quarantine
from orchestrator.project import PROJECT

WAIT_S = 300.0
#: Percent of a core that a device has at most: a small board is a quarter of a core here.
LARGEST_PERCENT = 25
SERVICE = "idle"
CODE = "def process(message):\n    return None\n"
PYINFRA = PROJECT / ".cache" / "pyinfra" / "bin" / "pyinfra"
PROGRAMS = Path(sys.executable).parent
#: What each ratio is to be at least, or at most.
GOALS = {"vs_ansible_defaults": ("at least", 5.0), "vs_raw_ssh": ("at most", 2.0)}


@dataclass(frozen=True)
class Stage:
    """The lab that the contenders work on."""

    folder: Path
    lab: Lab
    context: Context

    @property
    def devices(self) -> list[str]:
        """Their names."""
        return [device.name for device in self.lab.devices()]

    @property
    def percent(self) -> int:
        """What a device has of a core: an equal share of all cores but the master's."""
        cores = max(1, (os.cpu_count() or 1) - 1)
        return max(1, min(LARGEST_PERCENT, 100 * cores // len(self.devices)))

    def on_all(self, command: str, *, cpu: int | None = None) -> None:
        """Run a shell command on all devices, between two measurements, with ``cpu`` percent of a core for each."""
        for name in self.devices:
            self.lab.cpu(name, cpu)
        with ThreadPoolExecutor(8) as pool:
            done = pool.map(lambda name: self._ssh(name, command), self.devices)
            if broken := [run.stderr for run in done if run.returncode]:
                sys.exit(f"'{command}' failed on {len(broken)} devices: {broken[0]}")
        for name in self.devices:
            self.lab.cpu(name, self.percent)

    def _ssh(self, name: str, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.lab.ssh_command(name, command), capture_output=True, text=True, check=False)


@contextmanager
def stage(folder: Path, hosts: int) -> Iterator[Stage]:
    """A broker and prepared devices: one by the playbook, the others as copies of its card."""
    lab = Lab(folder / "lab", base.build(PROJECT / ".lab" / "base", print))
    lab.down()
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "artifact").mkdir(parents=True)
    (folder / "artifact" / "idle.py").write_text(CODE)
    inventory = folder / "inventory"
    service = {
        "source_topic": "in", "group_id": SERVICE, "artifact": str(folder / "artifact"), "entrypoint": "idle:process",
        "hosts": "fog", "min_instances": 1, "max_instances": hosts,
    }  # fmt: skip
    broker = lab.broker(jars.collect(PROJECT / ".lab" / "jars", print))
    try:
        print(f"{hosts} devices are being prepared", flush=True)
        lab.up(1)
        broker.up()
        write(inventory, lab)
        of_all = inventory / "group_vars" / "all"
        (of_all / "services.yml").write_text(yaml.safe_dump({"fogverse_services": {SERVICE: service}}))
        prepare(lab, inventory, folder / "site.log")
        lab.power_off("pi-1")
        lab = Lab(lab.folder, image.take(lab, "pi-1", folder / "card"))
        lab.up(hosts)
        write(inventory, lab)
        _run([str(PROGRAMS / "ansible-playbook"), "-i", str(inventory), "playbooks/site.yml", "--tags", "services"])
        with entered(lab.hub_netns):
            yield Stage(folder, lab, open_context(Options(inventory)))
    finally:
        broker.down()
        lab.down()


class Arrivals:
    """Watches the group from outside, as the clock of all contenders."""

    def __init__(self, stage: Stage) -> None:
        self._cluster = Cluster(stage.context.admin_options())
        self._wanted = {f"{SERVICE}@{name}.1" for name in stage.devices}

    def close(self) -> None:
        """End the connection."""
        self._cluster.close()

    def complete(self) -> bool:
        """Whether every device's instance is a member."""
        return self._members() >= self._wanted

    def empty(self) -> bool:
        """Whether nobody is."""
        return not self._members()

    def _members(self) -> set[str]:
        return {member.client_id for member in self._cluster.groups([SERVICE])[SERVICE].members}


class Bench:
    """Runs contenders on the same devices, one after the other."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.arrivals = Arrivals(stage)
        self.script = self._script()
        #: Ansible is warm, as beside a master that runs; its SSH connections are cold in each round, as all are.
        self.actuator = Actuator(SystemClock(), WAIT_S)
        #: Seconds until all were proved, and the master's memory in MB, of each round of ours.
        self.proved: list[float] = []
        self.master_mb: list[float] = []

    def measure(self, contender: Callable[[], None]) -> float:
        """Seconds until all instances are members, from a clean start."""
        self._reset()
        failure: list[BaseException] = []

        def work() -> None:
            try:
                with entered(self.stage.lab.hub_netns):
                    contender()
            except BaseException as error:
                failure.append(error)

        thread = threading.Thread(target=work)
        began = time.monotonic()
        thread.start()
        while not self.arrivals.complete():
            if failure or time.monotonic() - began > WAIT_S:
                sys.exit(f"not all devices run it after {time.monotonic() - began:.0f} s: {failure or 'too slow'}")
            time.sleep(0.1)
        seconds = time.monotonic() - began
        thread.join()
        if failure:
            sys.exit(f"a contender failed: {failure[0]}")
        return seconds

    def ours(self) -> None:
        """The master's transaction."""
        stage, steps, stop = self.stage, list[Step](), threading.Event()
        clock, batch = SystemClock(), tuple(Instance(SERVICE, name, 1) for name in stage.devices)
        means = Means(
            actuator=self.actuator, open_cluster=lambda: Cluster(stage.context.admin_options()),
            reports=ReportBook([SERVICE]), clock=clock, inventory=stage.context.inventory.path, proof_deadline_s=WAIT_S,
            retry_s=0, record=steps.append, failed=lambda device, reason: Quarantine(device, reason, until=0),
            worked=lambda _: None, reserve=lambda _: True, release=lambda _: None,
            progress=lambda _instances, _words: None, stop=stop,
        )  # fmt: skip
        [service] = stage.context.inventory.services
        places = [Placement(batch, len(batch), {})]
        began = clock.now()
        with Memory() as memory:
            started = ScaleOut(service, began, means, len(batch)).run(
                len(batch), lambda count: places.pop() if places else Placement((), count, {})
            )
        if len(started) < len(batch):
            failures = [f"{step.instance} {step.detail}" for step in steps if step.name == "failed"]
            raise RuntimeError(f"{len(started)} of {len(batch)} were started: {failures[:3]}")
        self.proved.append(max(step.at for step in steps if step.name == "proved") - began)
        self.master_mb.append(memory.most_mb)

    def ansible_defaults(self) -> None:
        """The same playbook, as Ansible does it unless told otherwise."""
        config = self.stage.folder / "defaults.cfg"
        config.write_text(f"[defaults]\nroles_path = {PROJECT / 'roles'}\n")
        inventory = str(self.stage.context.inventory.path)
        _run(
            [str(PROGRAMS / "ansible-playbook"), "-i", inventory, "playbooks/deploy.yml", "-e", f"service={SERVICE}"],
            {"ANSIBLE_CONFIG": str(config)},
        )

    def raw_ssh(self) -> None:
        """One ssh for each device, all at once."""
        with ThreadPoolExecutor(len(self.stage.devices)) as pool:
            runs = pool.map(self._raw, self.stage.devices)
            if broken := [run.stderr for run in runs if run.returncode or '"failed": false' not in run.stdout]:
                raise RuntimeError(f"raw ssh failed on {len(broken)} devices: {broken[0]}")

    def pyinfra(self) -> None:
        """One ``server.shell`` for all devices."""
        folder, lab = self.stage.folder, self.stage.lab
        data = {
            "ssh_user": "pi", "ssh_key": str(lab.keys.private), "ssh_known_hosts_file": str(lab.keys.known_hosts),
            "ssh_strict_host_key_checking": "yes",
        }  # fmt: skip
        hosts = [(device.address, {**data, "script": self.script[device.name]}) for device in lab.devices()]
        (folder / "hosts.py").write_text(f"devices = {hosts!r}\n")
        (folder / "start.py").write_text(
            "from pyinfra import host\nfrom pyinfra.operations import server\n\n"
            "server.shell(name='Start', commands=[host.data.script], _sudo=True)\n"
        )
        _run([str(PYINFRA), "-y", str(folder / "hosts.py"), str(folder / "start.py")])

    def _raw(self, name: str) -> subprocess.CompletedProcess[str]:
        command = [*self.stage.lab.ssh_command(name), "sudo sh -s"]
        return subprocess.run(command, input=self.script[name], capture_output=True, text=True, check=False)

    def _script(self) -> Mapping[str, str]:
        """The role's script as the playbook sends it to each device."""
        # A playbook finds templates beside itself.
        (self.stage.folder / "templates").symlink_to(PROJECT / "roles" / "fogverse_consumer" / "templates")
        play = [
            {
                "hosts": "all", "gather_facts": False,
                "tasks": [
                    {"import_role": {"name": "fogverse_consumer", "tasks_from": "wanted"}},
                    {
                        "copy": {
                            "content": "{{ lookup('template', 'run.sh.j2') }}",
                            "dest": f"{self.stage.folder}/{{{{ inventory_hostname }}}}.sh",
                        },
                        "delegate_to": "localhost",
                        "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
                    },
                ],
                "vars": {"fogverse_consumer_service": SERVICE, "fogverse_consumer_slots": [1]},
            }
        ]  # fmt: skip
        file = self.stage.folder / "script.yml"
        file.write_text(yaml.safe_dump(play))
        _run([str(PROGRAMS / "ansible-playbook"), "-i", str(self.stage.context.inventory.path), str(file)])
        return {name: (self.stage.folder / f"{name}.sh").read_text() for name in self.stage.devices}

    def _reset(self) -> None:
        """No instance, no group, no open connection, and topics of a partition for each device."""
        stage = self.stage
        self.actuator.close()
        self.actuator.start()  # warm by the time that the devices are clean
        stage.on_all(f"sudo systemctl disable --now --quiet fogverse-{SERVICE}@1; true")
        for socket in (*stage.lab.control_path.iterdir(), *Path("~/.ansible/cp").expanduser().glob("*")):
            subprocess.run(
                ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "any"], check=False, capture_output=True
            )
        end = time.monotonic() + WAIT_S
        while not self.arrivals.empty():
            if time.monotonic() > end:
                sys.exit("the group of the round before does not become empty")
            time.sleep(0.2)
        admin = KafkaAdminClient(**stage.context.admin_options())
        admin.delete_groups([SERVICE])
        admin.close()


class Memory:
    """The proportional set size (PSS) of this process and all its children, several times a second.

    PSS counts a page that n processes share as one nth for each, so that forks are not counted n times. Source:
    proc(5), ``/proc/PID/smaps_rollup``. The benchmark's own part is in it: what it holds is what a master holds.
    """

    def __init__(self) -> None:
        self.most_mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory")

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(0.3):
            self.most_mb = max(self.most_mb, sum(_pss_kb(pid) for pid in _tree(os.getpid())) / 1024)


def _tree(root: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has ended
            children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it has ended
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _run(command: list[str], environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        command, cwd=PROJECT, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command[:4])} failed: {(done.stdout + done.stderr)[-1500:]}")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=32, help="devices (default: 32)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, whose medians count (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    arguments = parser.parse_args()
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    with stage(PROJECT / ".lab" / "fleet-deploy", arguments.hosts) as on:
        bench = Bench(on)
        contenders = {
            "ours": bench.ours, "raw ssh": bench.raw_ssh, "pyinfra": bench.pyinfra,
            "ansible defaults": bench.ansible_defaults,
        }  # fmt: skip
        if not PYINFRA.exists():
            print(f"pyinfra is not in {PYINFRA}: left out, see docs/benchmarks.md")
            del contenders["pyinfra"]
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        cluster = Cluster(on.context.admin_options())
        for name, partitions in (("in", arguments.hosts), ("observer", 1)):
            cluster.create(name, partitions)
        cluster.close()
        bench.measure(bench.raw_ssh)  # the first start of all fills the devices' caches
        for number in range(1, arguments.rounds + 1):
            for name, contender in contenders.items():
                seconds[name].append(bench.measure(contender))
                print(f"round {number}: {name} {seconds[name][-1]:.1f} s", flush=True)
        bench.actuator.close()
        bench.arrivals.close()
    report(arguments.hosts, seconds, bench.proved, bench.master_mb, arguments.json)


def report(
    hosts: int, seconds: Mapping[str, list[float]], proved: list[float], master_mb: list[float], file: Path | None
) -> None:
    """Print medians, ratios and goals, and write them."""
    median = {name: statistics.median(rounds) for name, rounds in seconds.items()}
    ours = median["ours"]
    print(f"\n{hosts} devices at once, until the last is a member of its group, medians of {len(proved)} rounds")
    for name, value in median.items():
        print(f"  {name:18} {value:7.1f} s")
    print(f"ours, until all are proved: {statistics.median(proved):.1f} s")
    print(f"memory of the master's processes at their most: {max(master_mb):.0f} MB")
    figures: dict[str, float] = {
        "vs_ansible_defaults": median["ansible defaults"] / ours,
        "vs_raw_ssh": ours / median["raw ssh"],
        "median_s": ours,
        "proved_s": statistics.median(proved),
        "master_mb": max(master_mb),
        "hosts": hosts,
        "rounds": len(proved),
    }
    if "pyinfra" in median:
        figures["vs_pyinfra"] = median["pyinfra"] / ours
        print(f"times faster than pyinfra: {figures['vs_pyinfra']:.2f}")
    for name, (kind, goal) in GOALS.items():
        met = figures[name] >= goal if kind == "at least" else figures[name] <= goal
        print(f"{name}: {figures[name]:.2f}, goal {kind} {goal:g}: {'met' if met else 'MISSED'}")
    if file:
        file.write_text(json.dumps({name: round(value, 3) for name, value in figures.items()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
