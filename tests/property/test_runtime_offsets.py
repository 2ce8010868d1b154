"""Property: whatever the order in which messages finish, no unfinished one is ever behind the committed position."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fogverse.offsets import OffsetTracker

OFFSETS = st.lists(st.integers(1, 3), min_size=1, max_size=60)  # distances: gaps as in compacted topics


@given(distances=OFFSETS, data=st.data())
def test_no_unfinished_message_is_ever_committed(distances: list[int], data: st.DataObject) -> None:
    """If this fails, a crash loses messages."""
    offsets = [sum(distances[: n + 1]) for n in range(len(distances))]
    tracker = OffsetTracker()
    waiting = list(offsets)
    unfinished: list[int] = []
    done: set[int] = set()
    before = -1
    while waiting or unfinished:
        if waiting and (not unfinished or data.draw(st.booleans())):
            unfinished.append(waiting.pop(0))
            tracker.start(unfinished[-1])
        else:
            offset = unfinished.pop(data.draw(st.integers(0, len(unfinished) - 1)))
            tracker.finish(offset)
            done.add(offset)
        position = tracker.position
        prefix = [o for n, o in enumerate(offsets) if all(earlier in done for earlier in offsets[: n + 1])]
        assert position == (prefix[-1] + 1 if prefix else None)
        assert tracker.unfinished == len(unfinished)
        if position is not None:
            assert position > before or position == before
            before = position
    assert tracker.position == offsets[-1] + 1
