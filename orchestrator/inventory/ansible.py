"""Run the child process that reads an inventory with Ansible.

Why a child with Ansible's Python API, and not ``ansible-inventory --list``: that prints variables as they
were written, so ``{{ inventory_dir }}/known_hosts`` would reach us as it stands, it does not say which hosts
a pattern matches, and it has lost the lines. The child (``orchestrator.inventory_child``) asks the same classes
for all three, needs one start of Ansible (0.4 s) and keeps Ansible's modules out of the master's memory. Vault
passwords, ``group_vars``, dynamic inventories and ``ansible.cfg`` count exactly as for ``ansible-playbook``.

Why not through ansible-runner: there are no events to follow and no artifacts to keep, and its folders, its
terminal and its signal traps would have to be undone again.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import InventoryInvalid, Problem
from orchestrator.inventory.names import DEVICE, INSTALLATION, PREFIX

#: Seconds for the whole reading; a dynamic inventory may have to ask a slow source.
DEADLINE_S = 60.0

_CHILD = "orchestrator.inventory_child"
_PACKAGES = Path(__file__).resolve().parents[2]
_REFUSAL = re.compile(r"Failed to parse inventory with '(?!auto')(\w[\w.]*)' plugin: (.+)")
_UNPARSED = re.compile(r"Completely failed to parse inventory source (?P<file>.+)")
_TYPE = re.compile(r"""["']?<class '(?:[\w.]+\._AnsibleTagged)?(\w+)'>["']?""")
_ENVIRONMENT = {
    "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",  # an unreadable part must not shrink the fleet silently
    "ANSIBLE_DUPLICATE_YAML_DICT_KEY": "error",  # of two services with one name, one would be lost
    "ANSIBLE_HOST_PATTERN_MISMATCH": "ignore",  # we report it ourselves, with the place
    "ANSIBLE_NOCOLOR": "true",
    "LC_ALL": "C.UTF-8",  # Ansible refuses any other encoding, e.g. that of a bare systemd service
}


def ask_ansible(path: Path, project: Path, environ: Mapping[str, str], limit: str | None = None) -> dict[str, Any]:
    """What the child answers for the inventory at ``path``, and for a pattern of hosts; see there.

    Raises:
        InventoryInvalid: when files cannot be parsed, all of them, or Ansible gives up.
    """
    # -P: the project's folder is no place to import from.
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", _CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        cwd=project,
        env=_environment(project, environ),
        start_new_session=True,  # no terminal to ask for a vault password on, and one group to end
    )
    request = json.dumps(
        {
            "path": str(path),
            "playbooks": str(project / "playbooks"),
            "limit": limit,
            "installation": INSTALLATION,
            "device": DEVICE,
            "prefix": PREFIX,
        }
    )
    with process:
        try:
            answer, said = process.communicate(request, timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            words = f"reading did not end within {DEADLINE_S:g} s; does a dynamic inventory wait for something?"
            raise InventoryInvalid((Problem(path, None, "", None, words),)) from None
        finally:
            _end(process)
    if process.returncode != 0:
        words = said.strip().splitlines()[-1] if said.strip() else f"exit code {process.returncode}"
        raise InventoryInvalid((Problem(path, None, "", None, f"Ansible cannot read it: {words}"),))
    read: dict[str, Any] = json.loads(answer)
    if broken := read.get("broken"):
        raise InventoryInvalid(tuple(_problem(one, said) for one in broken))
    return read


def _environment(project: Path, environ: Mapping[str, str]) -> dict[str, str]:
    config = project / "ansible.cfg"
    found = {"ANSIBLE_CONFIG": str(config)} if config.is_file() else {}
    packages = os.pathsep.join(part for part in (str(_PACKAGES), environ.get("PYTHONPATH")) if part)
    return {**found, **environ, **_ENVIRONMENT, "PYTHONPATH": packages}


def _problem(broken: Mapping[str, Any], said: str) -> Problem:
    """A file's problem in Ansible's words; why its inventory plugins refused a file is only in what it ``said``."""
    file, words = Path(broken["file"]), str(broken["words"]).rstrip(".")
    if source := _UNPARSED.fullmatch(words):
        file = Path(source["file"])
        refusals = dict(_REFUSAL.findall(said))
        if file.suffix in {".yml", ".yaml"} and "yaml" in refusals:  # what the others say of it is noise
            refusals = {"yaml": refusals["yaml"]}
        reasons = "; ".join(f"{plugin}: {_plain(why)}" for plugin, why in refusals.items())
        words = f"this is no inventory: {reasons or 'there is none in it'}"
        if "yaml" not in refusals or len(refusals) > 1:
            words += "; if it is not meant to be one, end its name in .txt or put it elsewhere"
    elif "vault" in words.lower():
        words += "; name the password file in ANSIBLE_VAULT_PASSWORD_FILE or vault_password_file in ansible.cfg"
    return Problem(file, broken["line"], "", None, words, broken["column"])


def _plain(words: str) -> str:
    """``requires a dictionary, found "<class '…_AnsibleTaggedList'>" instead.`` without Python's class names."""
    return _TYPE.sub(lambda found: found[1].lower(), words).rstrip(".")


def _end(process: subprocess.Popen[str]) -> None:
    """End the child and whatever it started, if anything of it is still there."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
