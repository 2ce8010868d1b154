"""What an instance needs of its device, and what is done when it fails: a service's ``requires`` and ``heal``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

#: A label of a device, e.g. ``camera``; also a machine architecture.
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Seconds = Annotated[float, Field(strict=True, ge=0, le=86_400, allow_inf_nan=False)]


def _as_tuple(written: Any) -> Any:
    return (written,) if isinstance(written, str) else written


Words = Annotated[tuple[Word, ...], BeforeValidator(_as_tuple)]


class Requirements(BaseModel):
    """What a device must have to run an instance.

    Attributes:
        memory_mb: free memory in MiB that one instance needs; None asks for nothing.
        labels: words that the device's ``fogverse_labels`` must hold, all of them.
        arch: machine architectures, one of which it must be; none for any that the runtime runs on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_mb: int | None = Field(default=None, strict=True, ge=1, le=1_048_576)
    labels: Words = ()
    arch: Words = ()


class HealSettings(BaseModel):
    """What is done about an instance that fails.

    Attributes:
        notice_s: seconds that it may be missing before it is looked after; systemd restarts what crashed within 5 s.
        stuck_s: seconds in which its committed offsets may stand still while messages wait for it.
        restart_limit: failures within ``restart_within_s`` after which it is given up where it is.
        restart_within_s: seconds for which a failure counts.
        replace_after_s: seconds that its device may be gone before it is replaced on another one.
        return_home: when the device comes back, whether the instance returns there (and its replacement is stopped)
            or stays where it is (and the one that came back is stopped).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    notice_s: Seconds = 15.0
    stuck_s: Seconds = 120.0
    restart_limit: int = Field(default=3, strict=True, ge=0, le=1000)
    restart_within_s: Seconds = 600.0
    replace_after_s: Seconds = 60.0
    return_home: bool = Field(default=True, strict=True)
