"""What came out of a vault: it must not be shown, wherever a template carries it."""

# mypy: disable-error-code="import-untyped"

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.parsing.vault import EncryptedString

try:
    from ansible._internal._datatag._tags import VaultedValue
except ImportError:
    VaultedValue = None

#: Texts that came out of a vault. Whatever contains one is secret, though its tags may not say so.
_SECRETS: set[str] = set()


def is_secret(value: Any) -> bool:
    """Whether a value came out of a vault, or contains what did."""
    if isinstance(value, EncryptedString):
        return True
    if VaultedValue is not None and VaultedValue.is_tagged_on(value):
        _SECRETS.add(str(value))
        return True
    return isinstance(value, str) and any(secret in value for secret in _SECRETS)


def remember(value: Any) -> None:
    """Take every text in ``value``, which came out of a vault, for a secret from now on."""
    if isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            remember(item)
    elif isinstance(value, str) and value:
        _SECRETS.add(str(value))
