"""The fleet that shapes are tried on: thirteen devices, of which a service may use twelve slots."""

from __future__ import annotations

from orchestrator.core.device import Device
from orchestrator.core.service import Service
from orchestrator.settings import Settings
from orchestrator.simulate import shapes
from orchestrator.simulate.scenario import Delays, Scenario
from orchestrator.simulate.traffic import Traffic

#: Messages/s of one instance on one of the devices: some 10 ms of work each.
RATE = 100.0
DEVICES = 13
#: Partitions at the beginning: as many as there may be instances, since no rival can add any.
PARTITIONS = 12


def service(**changes: object) -> Service:
    """The service that is scaled; ``changes`` are its own keys."""
    values: dict[str, object] = {
        "name": "simulated",
        "source_topic": "source",
        "target_topic": "target",
        "group_id": "simulated",
        "artifact": "simulated",
        "entrypoint": "simulated:process",
        "hosts": "all",
        "min_instances": 1,
        "max_instances": PARTITIONS,
    }
    return Service.model_validate({**values, **changes})


def scenario(
    name: str,
    traffic: Traffic,
    of: Service | None = None,
    settings: Settings | None = None,
    *,
    rate: float = RATE,
    devices: int = DEVICES,
    partitions: int | None = None,
    instances: int | None = None,
    delays: Delays | None = None,
    seed: int = 1,
) -> Scenario:
    """A shape's traffic on this fleet; instances at the beginning as the first minute needs them."""
    of = of or service()
    first = float(traffic.rates[:60].mean())
    enough = int(-(-first // (0.7 * rate)))
    fleet = tuple(Device(f"pi-{n}", f"simulated-{n}", slots=1) for n in range(1, devices + 1))
    return Scenario(
        name=name,
        service=of,
        devices=fleet,
        rates={device.name: rate for device in fleet},
        traffic=traffic,
        settings=settings or Settings(),
        delays=delays or Delays(),
        failures=shapes.FAILURES.get(name, ()),
        partitions=partitions or shapes.PARTITIONS.get(name, PARTITIONS),
        instances=min(max(enough, of.min_instances, 1), of.max_instances, devices) if instances is None else instances,
        seed=seed,
    )
