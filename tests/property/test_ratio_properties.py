"""What holds for policy ratio whatever the traffic."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.features import Features, Level
from orchestrator.core.fleet import Observed, ServiceFleet
from orchestrator.core.instance import Instance
from orchestrator.core.memory import Memory
from orchestrator.core.ratio import RatioRule, decide
from orchestrator.core.service import Service

figures = st.one_of(st.none(), st.floats(0, 1e9))
levels = st.builds(
    Level,
    rate=figures,
    median=figures,
    previous_median=figures,
    mean=figures,
    deviation=figures,
    baseline_s=st.integers(0, 300),
)
moments = st.one_of(st.none(), st.floats(0, 1000))
memories = st.builds(Memory, last_start_at=moments, last_seen_new_at=moments, busy=st.one_of(st.none(), st.just("x")))
rules = st.builds(
    RatioRule,
    threshold=st.floats(0.01, 1),
    z_value=st.floats(0.1, 10),
    refresh_s=st.integers(1, 100),
    deploy_delay_s=st.floats(0, 1000),
    heartbeat_delay_s=st.floats(0, 1000),
)


@given(
    arrival=levels,
    output=levels,
    memory=memories,
    rule=rules,
    count=st.one_of(st.none(), st.integers(0, 12)),
    least=st.integers(0, 4),
    extra=st.integers(0, 6),
    ordering=st.sampled_from(["none", "key", "partition"]),
    partitions=st.one_of(st.none(), st.integers(1, 12)),
)
def test_limits_and_cooldowns_hold_for_all_traffic(
    arrival: Level,
    output: Level,
    memory: Memory,
    rule: RatioRule,
    count: int | None,
    least: int,
    extra: int,
    ordering: str,
    partitions: int | None,
) -> None:
    """Lost otherwise: the user's limits on the one input nobody thought of."""
    service = Service(
        name="s", source_topic="a", group_id="g", artifact="x", entrypoint="x:y", hosts="h", min_instances=least,
        max_instances=max(1, least + extra), ordering=ordering,  # type: ignore[arg-type]
    )  # fmt: skip
    observed = (
        None if count is None else tuple(Observed(Instance("s", f"d{n}", 1), 0.0, True, ()) for n in range(count))
    )
    features = Features("s", 1000, rule.refresh_s, arrival, output, "reports", None, partitions)
    decision = decide(service, features, ServiceFleet(observed), memory, rule, 1000.0)

    assert decision.reason
    assert decision.direction != "down"
    if decision.direction == "up":
        assert decision.current is not None
        assert decision.desired is not None
        assert memory.busy is None
        assert decision.desired <= service.max_instances
        if decision.kind == "scale-out":
            assert decision.desired == decision.current + 1
            assert arrival.rate is not None
            assert output.rate is not None
            assert output.rate < rule.threshold * arrival.rate
            assert memory.last_start_at is None or memory.last_start_at + rule.deploy_delay_s <= 1000.0
            assert memory.last_seen_new_at is None or memory.last_seen_new_at + rule.heartbeat_delay_s <= 1000.0
            assert ordering == "none" or partitions is None or decision.current < partitions
    if count is None:
        assert decision.desired is None
