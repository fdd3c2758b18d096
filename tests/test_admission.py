"""How many calls a host gets at once."""

from __future__ import annotations

import math

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.admission import Capacity, Gate, TokenEstimate, admits
from pipeline.llm.protocol import ModelRequest, Usage


@pytest.mark.parametrize(
    ("slots", "context", "running", "wanted", "admitted"),
    [
        (2, 10_000, [], 4_000, True),
        (2, 10_000, [4_000], 4_000, True),
        (2, 10_000, [1_000, 1_000], 1_000, False),
        (4, 10_000, [4_000, 4_000], 1_500, False),
        (4, 10_000, [], 50_000, True),
        (4, None, [50_000], 50_000, True),
        (4, None, [1_000], math.inf, False),
        (4, None, [math.inf], 1, False),
        (4, 10_000, [1_000], math.inf, False),
        (4, 10_000, [math.inf], 1, False),
    ],
)
def test_slots_and_tokens_admit(
    slots: int, context: int | None, running: list[float], wanted: float, admitted: bool
) -> None:
    """A call starts if a slot is free and all tokens fit in nine tenths of the context; alone it always may."""
    assert admits(Capacity(slots, context), running, wanted) is admitted


@given(st.lists(st.integers(1, 3000), max_size=20), st.integers(1, 5))
async def test_calls_enter_in_order_and_all_get_through(sizes: list[int], slots: int) -> None:
    """Whatever their sizes, calls enter first come first served, never too many, and none waits for ever."""
    gate, entered = Gate(Capacity(slots, 4096)), []

    async def call(number: int, size: int) -> None:
        async with gate.place(size):
            entered.append(number)
            assert gate.running <= slots
            await anyio.lowlevel.checkpoint()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as calls:
            for number, size in enumerate(sizes):
                calls.start_soon(call, number, size)
    assert entered == sorted(entered)
    assert gate.running == gate.waiting == 0


async def test_an_abandoned_call_keeps_its_place_for_a_while() -> None:
    """After a timeout the server still works, so the slot is lent again only after the cool-off."""
    gate = Gate(Capacity(1))
    async with gate.place(1) as place:
        place.cool_off_seconds = 0.05
    left_at = anyio.current_time()
    assert gate.running == 1
    async with gate.place(1):
        assert anyio.current_time() - left_at >= 0.05


async def test_a_cancelled_wait_gives_its_turn_away() -> None:
    """A call that gives up in the queue holds up nobody behind it."""
    gate = Gate(Capacity(1))
    async with anyio.create_task_group() as tasks, gate.place(1):

        async def wait_for_turn(scope: anyio.CancelScope) -> None:
            with scope:
                async with gate.place(1):
                    pass

        impatient = anyio.CancelScope()
        tasks.start_soon(wait_for_turn, impatient)
        tasks.start_soon(wait_for_turn, anyio.CancelScope())
        await anyio.wait_all_tasks_blocked()
        assert gate.waiting == 2
        impatient.cancel()
        await anyio.wait_all_tasks_blocked()
        assert gate.waiting == 1
    assert gate.running == gate.waiting == 0


async def test_more_slots_let_waiting_calls_in() -> None:
    """A host that turns out to have more slots gets the waiting calls at once."""
    gate = Gate(Capacity(1))
    async with gate.place(1), anyio.create_task_group() as tasks:

        async def enter() -> None:
            async with gate.place(1):
                assert gate.running == 2

        tasks.start_soon(enter)
        await anyio.wait_all_tasks_blocked()
        gate.resize(Capacity(2))


def request(text: str, **more: object) -> ModelRequest:
    return ModelRequest(messages=({"role": "user", "content": text},), **more)  # type: ignore[arg-type]


def test_the_estimate_learns_from_the_server() -> None:
    """Before the first answer a guess is cautious one way and hopeful the other; then it follows the count."""
    estimate, asked = TokenEstimate(), request("x" * 6000)
    assert estimate.at_least(asked) < 1500 < 2000 <= estimate.expected(asked)
    for _ in range(3):
        estimate.learn(asked, Usage(prompt_tokens=1508))
    assert estimate.expected(asked) == pytest.approx(1508, abs=5)
    estimate.learn(asked, Usage())
    assert estimate.expected(asked) == pytest.approx(1508, abs=5)


def test_images_count_by_number_and_not_by_their_bytes() -> None:
    """A page image weighs the same however long its data is; tools and earlier calls weigh by their text."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
    with_image = ModelRequest(messages=({"role": "user", "content": [picture, {"type": "text", "text": "read"}]},))
    with_tool = request("read", tools=({"function": {"name": "f", "description": "x" * 300}},))
    estimate = TokenEstimate()

    assert 1000 < estimate.expected(with_image) < 2000
    assert estimate.expected(with_tool) > estimate.expected(request("read")) + 100
