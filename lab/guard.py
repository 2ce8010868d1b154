"""A guarded broker: TLS with an authority of its own, users with passwords (SCRAM), and rights for each (ACLs)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import files
from lab.commands import run

MECHANISM = "SCRAM-SHA-512"
#: The broker's own user, who may do everything.
SUPER_USER = "admin"
_DAYS = "3650"
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"


@dataclass(frozen=True)
class Guard:
    """Who may use a broker, and how it proves that it is the right one.

    Its users exist from the first start of the broker's data folder on. Nobody but :data:`SUPER_USER` may do anything
    before an ACL allows it.

    Attributes:
        folder: certificates and keys; made when missing.
        passwords: by user; letters, digits and hyphens. Has one for :data:`SUPER_USER`.
    """

    folder: Path
    passwords: Mapping[str, str] = field(repr=False)

    @property
    def authority(self) -> Path:
        """PEM file of the authority that signs the broker's certificate."""
        return self.folder.absolute() / "ca.pem"

    def certify(self, host: str) -> None:
        """Make the authority, and the certificate of a broker at the address ``host``, unless they are there."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._store.exists():
            return
        key, certificate = self.folder / "broker.key", self.folder / "broker.pem"
        by_ca = ("-CA", str(self.authority), "-CAkey", str(self._authority_key))
        _certificate(self._authority_key, self.authority, "FogVerse lab authority")
        _certificate(key, certificate, "broker", *by_ca, "-addext", f"subjectAltName=IP:{host}")
        files.write(self._store, key.read_text("ascii") + certificate.read_text("ascii"), mode=0o600)

    def properties(self, port: int) -> dict[str, str]:
        """Settings of the broker that differ from those of an open one. They hold a password.

        Args:
            port: of the controller, which has no users: it listens on the loopback address only.
        """
        listener = f"listener.name.sasl_ssl.{MECHANISM.lower()}.sasl.jaas.config"
        user = f'username="{SUPER_USER}" password="{self.passwords[SUPER_USER]}"'
        return {
            "controller": f"127.0.0.1:{port}",
            "protocol": "SASL_SSL",
            "more": "\n".join(
                (
                    "ssl.keystore.type=PEM",
                    f"ssl.keystore.location={self._store}",
                    f"sasl.enabled.mechanisms={MECHANISM}",
                    f"sasl.mechanism.inter.broker.protocol={MECHANISM}",
                    f"{listener}={_MODULE} required {user};",
                    "ssl.truststore.type=PEM",
                    f"ssl.truststore.location={self.authority}",
                    "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                    # The controller's listener knows no names.
                    f"super.users=User:{SUPER_USER};User:ANONYMOUS",
                )
            ),
        }

    def format_options(self) -> list[str]:
        """Options of ``StorageTool format`` that make the users; a command line shows the passwords for a moment."""
        users = (f"{MECHANISM}=[name={name},password={password}]" for name, password in self.passwords.items())
        return [option for user in users for option in ("--add-scram", user)]

    def client_options(self, user: str) -> dict[str, Any]:
        """kafka-python's options of a user, named as in the inventory's ``fogverse_kafka``."""
        return {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": MECHANISM,
            "sasl_plain_username": user,
            "sasl_plain_password": self.passwords[user],
            "ssl_cafile": str(self.authority),
        }

    @property
    def _authority_key(self) -> Path:
        return self.folder / "ca.key"

    @property
    def _store(self) -> Path:
        return self.folder.absolute() / "broker-store.pem"


def _certificate(key: Path, certificate: Path, name: str, *more: str) -> None:
    run(
        ["openssl", "req", "-x509", *_KEY, "-days", _DAYS, "-subj", f"/CN={name}", "-keyout", str(key),
         "-out", str(certificate), *more]
    )  # fmt: skip
