"""SSH keys of a lab: one for whoever logs in, one for each device, and the list that ties them to addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab import files
from lab.commands import run
from lab.locks import locked


@dataclass(frozen=True)
class Keys:
    """The files in one folder, ``.lab/ssh``."""

    folder: Path

    @property
    def private(self) -> Path:
        """Key that logs in to every device of the lab."""
        return self.folder / "id_ed25519"

    @property
    def public(self) -> str:
        """Its public half, as devices know it."""
        return self.private.with_suffix(".pub").read_text(encoding="utf-8")

    @property
    def known_hosts(self) -> Path:
        """Each device's host key beside its address: no first use has to be trusted."""
        return self.folder / "known_hosts"

    def create(self) -> None:
        """Make the key that logs in, if it is missing."""
        if not (self.private.exists() and self.private.with_suffix(".pub").exists()):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            generate(self.private, "fogverse-lab")

    def publish(self, hosts: Mapping[str, str]) -> None:
        """Write the list of known hosts: address to public key. Lines of other addresses stay; several may write."""
        ours = [f"{address} {' '.join(key.split()[:2])}" for address, key in hosts.items()]
        with locked(self.folder / "known_hosts.lock"):
            kept = []
            if self.known_hosts.exists():
                lines = self.known_hosts.read_text(encoding="utf-8").splitlines()
                kept = [line for line in lines if line.partition(" ")[0] not in hosts]
            files.write(self.known_hosts, "".join(f"{line}\n" for line in (*kept, *ours)))


def generate(private: Path, comment: str) -> None:
    """Make a key pair: ``private`` and, beside it, ``private.pub``; an unfinished pair is replaced."""
    private.unlink(missing_ok=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(private)])
