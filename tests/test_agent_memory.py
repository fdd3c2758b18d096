import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.agent import Memory, MemoryItem, MemoryType
from pipeline.llm.protocol import ToolCall

ITEMS = [MemoryItem(MemoryType.USER, str(number)) for number in range(5)]


@pytest.mark.parametrize(
    ("limit", "expected"), [(None, "01234"), (0, ""), (1, "4"), (3, "234"), (5, "01234"), (9, "01234")]
)
def test_a_limit_gives_the_latest_items(limit: int | None, expected: str) -> None:
    """get_memories(limit) returns the last items that fit, oldest first."""
    assert "".join(str(item.content) for item in Memory(ITEMS).get_memories(limit)) == expected


def test_a_negative_limit_is_refused() -> None:
    """A limit below zero is a mistake of the caller and is said to be one."""
    with pytest.raises(ValueError, match="-1"):
        Memory(ITEMS).get_memories(-1)


def test_the_copy_without_system_memories_is_independent() -> None:
    """A copy holds everything but system items, and adding to it leaves the original alone."""
    memory = Memory([MemoryItem(MemoryType.SYSTEM, "rules"), *ITEMS])
    copy = memory.copy_without_system_memories()
    copy.add_memory(ITEMS[0])
    assert [item.type for item in copy] == [MemoryType.USER] * 6
    assert len(memory) == 6


items = st.builds(
    MemoryItem,
    type=st.sampled_from(MemoryType),
    content=st.text() | st.just(({"type": "text", "text": "part"},)),
    tool_calls=st.lists(st.builds(ToolCall, st.text(), st.text(), st.text()), max_size=2).map(tuple),
    tool_call_id=st.none() | st.text(),
    tool_name=st.none() | st.text(),
)


@given(st.lists(items, max_size=5))
def test_memory_survives_json(some: list[MemoryItem]) -> None:
    """What goes through JSON text comes back equal, item by item."""
    restored = Memory.from_json(json.loads(json.dumps(Memory(some).to_json())))
    assert list(restored) == some
