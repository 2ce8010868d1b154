"""Two minutes of members that come, go and die under load: nothing is lost, nobody is stuck, each has a partition."""

from __future__ import annotations

import random
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from fogverse import ExitCode
from lab.broker import LocalBroker
from tests.integration.proofs import REPEATED, Load, Proof, in_order, repeated, workers
from tests.integration.test_runtime_broker import Instance, until

pytestmark = pytest.mark.broker

CHURN_S = 120
#: The group hears of a killed member by its session timeout (10 s) and waits for it until then: what is asked of it
#: "5 s after the last change" can only be asked when the last deaths are known.
NO_MORE_KILLS_S = 14
LEAST, MOST = 2, 5
PARTITIONS = 8
MEAN_MS = 8
#: While the group waits for a dead member (session timeout: 10 s) nobody's commit is answered, so who dies in that
#: time leaves what it has finished since, at most this much.
UNANSWERED = round(10 * 4 * 1000 / MEAN_MS)


class Crowd:
    """The members of the group, by the life that signs their outputs."""

    def __init__(self, proof: Proof, chance: random.Random, stack: ExitStack) -> None:
        self._proof = proof
        self._chance = chance
        self._stack = stack
        self.present: dict[int, Instance] = {}
        self.leaving: list[Instance] = []
        self.killed: list[int] = []

    def join(self) -> None:
        variables = self._proof.life()
        life = variables["STAGE_LIFE"]
        running = self._proof.running("signed", f"pi-{life}", **workers("key", STAGE_MEAN_MS=str(MEAN_MS)), **variables)
        self.present[int(life)] = self._stack.enter_context(running)

    def leave(self) -> None:
        gone = self.present.pop(self._chance.choice(list(self.present)))
        gone.process.send_signal(signal.SIGTERM)
        self.leaving.append(gone)

    def die(self) -> None:
        life = self._chance.choice(list(self.present))
        self.present.pop(life).process.kill()
        self.killed.append(life)

    def change(self, *, kills: bool) -> None:
        """One of the three, as the number of members allows."""
        if len(self.present) <= LEAST or (len(self.present) < MOST and self._chance.random() < 0.5):
            self.join()
        elif kills and self._chance.random() < 0.4:
            self.die()
        else:
            self.leave()

    def each_owns_a_partition(self) -> bool:
        owned = self._proof.owned()
        return all(owned.get(f"{self._proof.name}@pi-{life}.1") for life in self.present)


@pytest.mark.timeout(CHURN_S + 180)
def test_members_that_come_and_go_for_two_minutes_lose_nothing_and_all_get_work(
    broker: LocalBroker, tmp_path: Path
) -> None:
    """Else an autoscaler, which does nothing else, would lose messages or leave devices idle."""
    proof = Proof(broker, tmp_path)
    proof.create_partitions(PARTITIONS)
    seed = time.time_ns()
    print(f"seed {seed}")  # shown when it fails
    chance = random.Random(seed)  # noqa: S311 -- picks moments and members
    load = Load(proof.producer(), proof.source, per_s=300, keys=40, partitions=PARTITIONS)
    with ExitStack() as stack:
        crowd = Crowd(proof, chance, stack)
        with load.going():
            over = time.monotonic() + CHURN_S
            while (left := over - time.monotonic()) > 0:
                crowd.change(kills=left > NO_MORE_KILLS_S)
                time.sleep(chance.uniform(1, 4))  # the random moment
            crowd.join()
            # What counts is the change of the group: a process has to start first.
            crowd.present[max(crowd.present)].says("assigned", within_s=15)
            until(crowd.each_owns_a_partition, within_s=5)
        ends = proof.ends(PARTITIONS)
        until(lambda: proof.done(ends), within_s=40)
        assert [instance.process.poll() for instance in crowd.present.values()] == [None] * len(crowd.present)
        for instance in crowd.present.values():
            instance.process.send_signal(signal.SIGTERM)
        codes = [instance.ends() for instance in (*crowd.present.values(), *crowd.leaving)]
    outputs = proof.signed()
    again = repeated(outputs)
    print(f"{len(codes)} left, {len(crowd.killed)} killed, {len(outputs)} outputs, repeated {dict(again)}")
    assert set(codes) == {ExitCode.OK}
    assert {output.name for output in outputs} == set(load.names)
    assert set(again) <= set(crowd.killed), "a clean change of hands repeats nothing"
    assert max(again.values(), default=0) <= REPEATED + UNANSWERED
    in_order(outputs)
