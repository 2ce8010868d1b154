"""What is done about an instance that ails: a pure choice from what its device says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestrator.core.diagnosis import NOT_THE_DEVICE, Diagnosis
from orchestrator.core.health import Ailment, Vital
from orchestrator.core.requirements import HealSettings

#: ``wait``: look again soon. ``restart``: start it again where it is. ``upgrade``: bring it the release that it waits
#: for. ``replace``: its device is gone, start another elsewhere. ``give-up``: stop it, leave its device alone and start
#: another elsewhere. ``leave``: nothing here can help. ``dismiss``: it was stopped on purpose.
Action = Literal["wait", "restart", "replace", "upgrade", "give-up", "leave", "dismiss"]


@dataclass(frozen=True, slots=True)
class Treatment:
    """What to do, and why in words."""

    action: Action
    reason: str


def treat(
    ailment: Ailment,
    diagnosis: Diagnosis,
    vital: Vital,
    heal: HealSettings,
    now: float,
    release: str | None = None,
) -> Treatment:
    """Choose what to do about an instance that ails.

    Args:
        ailment: what is wrong.
        diagnosis: what its device says.
        vital: what is remembered of it.
        heal: the service's settings.
        now: seconds since the epoch.
        release: what would be deployed; asked for only where an instance waits for one.
    """
    patience = heal.replace_after_s - (now - vital.well_at)
    waits = f"it has {patience:.0f} s more to come back by itself"
    if not diagnosis.reachable:
        if ailment.complaint != "gone":
            return Treatment("wait", "it cannot be looked after while its device does not answer")
        return Treatment("wait", waits) if patience > 0 else Treatment("replace", "its device is gone")
    if diagnosis.active in (None, "deactivating"):
        return Treatment("wait", "its unit is in no state to act on")
    stopped = diagnosis.active in ("inactive", "failed")
    if stopped and diagnosis.enabled is False:
        return Treatment("dismiss", "its unit was stopped and disabled: that is how an instance is drained by hand")
    blameless = NOT_THE_DEVICE.get(diagnosis.exit_code or 0)
    if ailment.complaint == "stuck" and blameless is not None:
        return Treatment("leave", f"{blameless}, and would elsewhere")
    if ailment.complaint == "outdated" and ailment.waits_for != release:
        words = f"this master would bring release {release}: run one whose artifact is {ailment.waits_for}, or site.yml"
        return Treatment("wait", words)
    recent = [at for at in vital.restarts if now - at < heal.restart_within_s]
    if len(recent) >= heal.restart_limit:
        words = f"it was restarted {len(recent)} times within {heal.restart_within_s:g} s (restart_limit)"
        if blameless is not None:
            return Treatment("leave", f"{words}: {blameless}, and would elsewhere")
        return Treatment("give-up", words)
    if ailment.complaint == "outdated":
        return Treatment("upgrade", "its device was away during an upgrade")
    if stopped:
        return Treatment("restart", "its unit does not run")
    if ailment.complaint != "stuck" and patience > 0:
        return Treatment("wait", waits)
    return _of_a_living_unit(diagnosis)


def _of_a_living_unit(diagnosis: Diagnosis) -> Treatment:
    if diagnosis.active != "activating":
        return Treatment("restart", "its process runs but does not work")
    if diagnosis.sub == "start" and not diagnosis.restarts:
        return Treatment("wait", "it is being started; systemd ends a start that takes too long")
    return Treatment("give-up", "systemd restarts it in vain")
