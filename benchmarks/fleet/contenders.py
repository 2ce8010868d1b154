"""The ways of starting an instance on each device, and the time that each takes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml
from kafka import KafkaAdminClient

from fleet.arrivals import Arrivals
from fleet.commands import PROGRAMS, run
from fleet.memory import Memory
from fleet.stage import SERVICE, Stage
from lab.netns import entered
from orchestrator.act.actuator import Actuator
from orchestrator.act.means import Means
from orchestrator.act.scaleout import ScaleOut
from orchestrator.act.step import Step
from orchestrator.broker.book import ReportBook
from orchestrator.broker.cluster import Cluster
from orchestrator.clock import SystemClock
from orchestrator.core.instance import Instance
from orchestrator.core.placement import Placement
from orchestrator.core.quarantine import Quarantine
from orchestrator.project import PROJECT

WAIT_S = 300.0
PYINFRA = PROJECT / ".cache" / "pyinfra" / "bin" / "pyinfra"


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
        run(
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
        run([str(PYINFRA), "-y", str(folder / "hosts.py"), str(folder / "start.py")])

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
                # The last four are what the role otherwise takes from its own place, of which only its own tasks know.
                "vars": {
                    "fogverse_consumer_service": SERVICE, "fogverse_consumer_slots": [1],
                    "fogverse_consumer_runtime": str(PROJECT / "fogverse"),
                    "fogverse_consumer_constraints": str(PROJECT / "constraints.txt"),
                    "fogverse_consumer_cache": str(PROJECT / ".cache" / "wheels"),
                    "fogverse_consumer_folder": str(PROJECT),
                },
            }
        ]  # fmt: skip
        file = self.stage.folder / "script.yml"
        file.write_text(yaml.safe_dump(play))
        run([str(PROGRAMS / "ansible-playbook"), "-i", str(self.stage.context.inventory.path), str(file)])
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
