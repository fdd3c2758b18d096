"""A host that goes away and comes back, and calls that do not notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import anyio
import pytest
from structlog.testing import capture_logs

from pipeline.errors import (
    ConfigError,
    ContextOverflow,
    HostFault,
    HostRefuses,
    ModelError,
    ModelSetupFault,
    OutputFault,
    RequestRefused,
)
from pipeline.llm.discovery import HostFacts, ModelFacts
from pipeline.llm.hosts import HostedModel, HostSettings, HostState, HostStatus, host_from
from pipeline.llm.protocol import ModelReply, ModelRequest, Usage

URL = "http://localhost:1234/v1"
SMALL = ModelFacts("small", loaded=True, slots=2, context_tokens=4096)
HERE = HostFacts(URL, reachable=True, is_lm_studio=True, models=(SMALL,))
AWAY = HostFacts(URL, error="no model server answers", hint="start it")
NO_KEY = HostFacts(URL, reachable=True, needs_key=True, error="an API token is required", hint="set api_key")
FINE = ModelReply(text="fine", usage=Usage(100, 10), model="small")
Outcome = ModelReply | ModelError
T = TypeVar("T")


@dataclass
class FakeServer:
    """Stand for a server: give the looks and answers lined up, the last of each for ever; one-token calls succeed."""

    looks: list[HostFacts] = field(default_factory=lambda: [HERE])
    outcomes: list[Outcome] = field(default_factory=lambda: [FINE])
    warm_ups: list[Outcome] = field(default_factory=lambda: [FINE])
    before_answer: Callable[[], Any] | None = None
    looked: int = 0
    warmed_up: int = 0
    asked: int = 0
    running: int = 0
    most_running: int = 0
    connected: list[ModelFacts] = field(default_factory=list)
    closed: int = 0

    async def discover(self) -> HostFacts:
        self.looked += 1
        return _next(self.looks)

    def connect(self, model: ModelFacts) -> FakeServer:
        self.connected.append(model)
        return self

    async def complete(self, request: ModelRequest) -> ModelReply:
        if request.max_tokens == 1:
            self.warmed_up += 1
            outcome = _next(self.warm_ups)
        else:
            self.asked += 1
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            try:
                await (self.before_answer() if self.before_answer else anyio.lowlevel.checkpoint())
            finally:
                self.running -= 1
            outcome = _next(self.outcomes)
        if isinstance(outcome, ModelError):
            raise outcome
        return outcome

    async def aclose(self) -> None:
        self.closed += 1


def _next(lined_up: list[T]) -> T:
    return lined_up.pop(0) if len(lined_up) > 1 else lined_up[0]


def hosted(server: FakeServer, **settings: Any) -> HostedModel:
    fast = {"probe_interval_seconds": 0.001, "probe_interval_max_seconds": 0.002, "cool_off_seconds": 0.01}
    return HostedModel(
        HostSettings.model_validate({**fast, **settings}), connect=server.connect, discover=server.discover
    )


def request(text: str = "hello", max_tokens: int = 50) -> ModelRequest:
    return ModelRequest(messages=({"role": "user", "content": text},), max_tokens=max_tokens)


async def ask_many(host: HostedModel, count: int, asked: ModelRequest | None = None) -> list[ModelReply]:
    replies: list[ModelReply] = []

    async def ask() -> None:
        replies.append(await host.complete(asked or request()))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as calls:
            for _ in range(count):
                calls.start_soon(ask)
    return replies


async def test_one_warm_up_comes_before_the_fan_out() -> None:
    """Eight first calls cause one look and one request of one token, so that a model is loaded once."""
    server = FakeServer()
    host = hosted(server)

    assert await ask_many(host, 8) == [FINE] * 8
    assert (server.looked, server.warmed_up, server.asked) == (1, 1, 8)


@pytest.mark.slow
async def test_a_host_gets_as_many_calls_as_it_has_slots() -> None:
    """The slots come from the host, or from the setting where there is one; a quarter more may wait inside the host."""
    found = []
    for settings in ({"queue_ahead": 0}, {"queue_ahead": 0, "slots": 3}, {}, {"slots": 8}, {"slots": 1}):
        server = FakeServer(before_answer=anyio.wait_all_tasks_blocked)
        await ask_many(hosted(server, **settings), 12)
        found.append(server.most_running)

    assert found == [2, 3, 3, 10, 1]


async def test_calls_are_admitted_by_tokens() -> None:
    """Two calls that do not fit into the context together run one after the other."""
    server = FakeServer(before_answer=anyio.wait_all_tasks_blocked)
    await ask_many(hosted(server), 4, request(max_tokens=2000))

    assert server.most_running == 1


async def test_calls_wait_while_the_host_is_away() -> None:
    """A host that is away at first delays the calls and fails none; loss and return are logged once each."""
    server = FakeServer(looks=[AWAY, AWAY, AWAY, HERE])
    with capture_logs() as logs:
        replies = await ask_many(hosted(server), 5)

    assert replies == [FINE] * 5
    assert (server.looked, server.asked) == (4, 5)
    assert [entry["event"] for entry in logs] == ["host.lost", "host.recovered"]


async def test_a_host_lost_in_the_middle_is_waited_for() -> None:
    """Calls that fail with the host are sent again when it is back, by one prober, and no call is charged."""
    fault = HostFault("does not answer")
    server = FakeServer(looks=[HERE, AWAY, AWAY, HERE], outcomes=[FINE, fault, fault, FINE])
    host = hosted(server, fault_retries=0)

    assert await ask_many(host, 6) == [FINE] * 6
    assert (server.looked, server.warmed_up, server.asked) == (4, 2, 8)


async def test_a_request_that_brings_the_host_down_each_time_is_given_up() -> None:
    """The host comes back every time and goes down with the same request: that is the request's fault, and bounded."""
    server = FakeServer(outcomes=[HostFault("crashed")])
    looks = [HERE, *[AWAY, HERE] * 4]
    server.looks = looks
    host = hosted(server, loss_retries=2, fault_retries=0)
    with anyio.fail_after(5), pytest.raises(OutputFault, match="lost 3 times") as caught:
        await host.complete(request())
    assert caught.value.transient
    assert server.asked == 3


async def test_listing_models_is_not_enough_to_be_up() -> None:
    """A host that lists its models but cannot complete one token is down until it can."""
    server = FakeServer(warm_ups=[HostFault("Model unloaded."), FINE])

    assert await ask_many(hosted(server), 3) == [FINE] * 3
    assert (server.warmed_up, server.asked) == (2, 3)


async def test_a_request_that_fails_at_a_healthy_host_is_given_up() -> None:
    """After the retries the fault is the request's, and the host stays up for the others."""
    server = FakeServer(outcomes=[HostFault("answered HTTP 500: broken image")])
    host = hosted(server, fault_retries=2)

    with pytest.raises(OutputFault, match=r"failed 3 times at a host that answers others.*broken image"):
        await host.complete(request())
    assert server.asked == 3
    assert host.state.status is HostStatus.UP


async def test_a_request_that_succeeds_on_a_retry_is_a_success() -> None:
    """A fault that passes costs a second sending and nothing else."""
    server = FakeServer(outcomes=[HostFault("crashed"), FINE])

    assert await hosted(server).complete(request()) == FINE


async def test_a_refusal_of_the_request_passes_at_once() -> None:
    """What the host would refuse again is raised after one request."""
    server = FakeServer(outcomes=[RequestRefused("no images")])
    with pytest.raises(RequestRefused):
        await hosted(server).complete(request())
    assert server.asked == 1


async def test_an_answer_that_holds_no_reply_is_asked_for_again() -> None:
    """A success without a reply costs another sending; after the retries it is the request's fault."""
    server = FakeServer(outcomes=[OutputFault("no reply"), FINE])
    assert await hosted(server).complete(request()) == FINE

    hopeless = FakeServer(outcomes=[OutputFault("no reply")])
    with pytest.raises(OutputFault, match="no reply"):
        await hosted(hopeless, fault_retries=2).complete(request())
    assert hopeless.asked == 3


async def test_a_host_is_given_the_time_it_asks_for() -> None:
    """After a `Retry-After` the request is sent again no sooner, however short the usual pause."""
    server = FakeServer(outcomes=[HostFault("busy", retry_after_seconds=0.1), FINE])
    started = anyio.current_time()
    assert await hosted(server).complete(request()) == FINE
    assert anyio.current_time() - started >= 0.1


async def test_a_refusal_is_waited_out_and_shown() -> None:
    """A daemon waits for a person to set the key, and says so in the state and once in the log."""
    server = FakeServer(looks=[NO_KEY, NO_KEY, HERE])
    host = hosted(server)
    seen: list[HostState] = []

    async def remember(state: HostState) -> None:
        seen.append(state)

    host.door._on_change = remember
    with capture_logs() as logs:
        assert await host.complete(request()) == FINE

    assert [(state.status, state.hint) for state in seen] == [
        (HostStatus.REFUSED, "set api_key"),
        (HostStatus.UP, ""),
    ]
    assert [entry["event"] for entry in logs] == ["host.refused", "host.recovered"]


async def test_a_one_shot_command_is_told_of_a_refusal_at_once() -> None:
    """With a longest wait set, a wrong key is raised to everybody instead of waited for."""
    server = FakeServer(looks=[NO_KEY])
    host = hosted(server, max_wait_seconds=60, probe_interval_seconds=30)
    for _ in range(2):
        with pytest.raises(HostRefuses, match="API token is required") as caught:
            await host.complete(request())
        assert caught.value.hint == "set api_key"
    assert server.looked == 1


@pytest.mark.parametrize(
    ("look", "status"), [(NO_KEY, HostStatus.REFUSED), (AWAY, HostStatus.DOWN), (HERE, HostStatus.UNKNOWN)]
)
async def test_a_glance_finds_what_no_call_could_pass(look: HostFacts, status: HostStatus) -> None:
    """Before the first call a refusal or absence is seen without sending anything; what is well stays to be proved."""
    server = FakeServer(looks=[look])
    host = hosted(server)
    await host.door.glance()
    await host.door.glance()
    assert host.state.status is status
    assert (server.looked <= 2, server.asked, server.warmed_up) == (True, 0, 0)


async def test_a_one_shot_command_waits_only_so_long() -> None:
    """With a longest wait set, an absent host is raised with its reason and remedy."""
    server = FakeServer(looks=[AWAY])
    with pytest.raises(HostFault, match="no model server answers") as caught:
        await hosted(server, max_wait_seconds=0.2).complete(request())
    assert caught.value.hint == "start it"
    assert server.looked > 1


@pytest.mark.parametrize(
    ("asked", "models", "error", "words"),
    [
        ("absent", (SMALL,), ModelSetupFault, "has no model 'absent'; it has: small"),
        ("", (), HostFault, "no model is loaded"),
        ("", (replace(SMALL, loaded=False), ModelFacts("large", loaded=False)), HostFault, "it has: large, small"),
    ],
)
async def test_a_missing_model_is_named(
    asked: str, models: tuple[ModelFacts, ...], error: type[ModelError], words: str
) -> None:
    """LM Studio would let any model answer for another, so a name that it does not have is refused."""
    server = FakeServer(looks=[replace(HERE, models=models)])
    with pytest.raises(error, match=words):
        await hosted(server, model=asked, max_wait_seconds=0).complete(request())
    assert server.warmed_up == 0


async def test_context_and_slots_are_read_after_the_model_was_loaded() -> None:
    """A model that the warm-up loads shows its context only afterwards."""
    server = FakeServer(looks=[replace(HERE, models=(ModelFacts("small", loaded=False),)), HERE])
    host = hosted(server)
    await host.ready()

    assert (host.state.context_tokens, host.state.slots, host.state.model) == (4096, 2, "small")
    assert len(server.connected) == 1


async def test_another_model_after_an_outage_gets_a_new_connection() -> None:
    """Where the loaded model is taken, a host that comes back with another is asked for that one."""
    other = ModelFacts("other", loaded=True)
    server = FakeServer(looks=[HERE, AWAY, replace(HERE, models=(other,))], outcomes=[HostFault("gone"), FINE])
    with capture_logs() as logs:
        await hosted(server).complete(request())

    assert server.connected == [SMALL, other]
    assert [entry["event"] for entry in logs][-1] == "model.substituted"


OTHER = ModelFacts("other", loaded=True)


async def test_an_answer_from_another_model_than_asked_for_is_not_taken() -> None:
    """The model that was asked for is loaded again by the host's check, and asked again; that is bounded."""
    both = replace(HERE, models=(SMALL, OTHER))
    server = FakeServer(looks=[both], outcomes=[replace(FINE, model="other"), FINE])
    assert (await hosted(server, model="small").complete(request())).model == "small"
    assert (server.asked, server.warmed_up) == (2, 2)

    stubborn = FakeServer(looks=[both], outcomes=[replace(FINE, model="other")])
    with pytest.raises(OutputFault, match="where small was asked for"):
        await hosted(stubborn, model="small", fault_retries=2).complete(request())
    assert stubborn.asked == 3


@pytest.mark.parametrize(("asked", "answered"), [("", "other"), ("small", "small-v2.gguf"), ("small", "")])
async def test_another_name_is_no_other_model(asked: str, answered: str) -> None:
    """Where any model will do, or the name is that of no other model of the server, the answer is taken."""
    server = FakeServer(looks=[replace(HERE, models=(SMALL, OTHER))], outcomes=[replace(FINE, model=answered)])
    await hosted(server, model=asked).complete(request())
    assert server.asked == 1


async def test_a_model_that_was_unloaded_is_asked_for_again() -> None:
    """When nothing is loaded any more, the model used before is named, so that the server loads it."""
    unloaded = (replace(SMALL, loaded=False), ModelFacts("large", loaded=False))
    server = FakeServer(looks=[HERE, replace(HERE, models=unloaded), HERE], outcomes=[HostFault("unloaded"), FINE])
    host = hosted(server, max_wait_seconds=0)

    assert await host.complete(request()) == FINE
    assert host.state.model == "small"


async def test_a_host_that_cannot_say_one_word_in_time_is_down() -> None:
    """A host whose model never gets ready is down, and says how long it was waited for."""

    class Stuck(FakeServer):
        async def complete(self, _: ModelRequest) -> ModelReply:
            await anyio.sleep_forever()
            raise AssertionError("unreachable")

    with pytest.raises(HostFault, match="did not answer one word in") as caught:
        await hosted(Stuck(), timeout_seconds=0.01, max_wait_seconds=0).ready()
    assert "[llm] timeout_seconds" in caught.value.hint


async def test_an_odd_answer_to_the_warm_up_is_an_answer() -> None:
    """What a model does with one token is no reason to call its host down."""
    server = FakeServer(warm_ups=[OutputFault("empty")])

    assert await hosted(server).complete(request()) == FINE


async def test_a_refusal_of_one_request_by_a_willing_host_is_raised_as_it_is() -> None:
    """A set-up fault that the host's check does not confirm reaches the caller after the retries."""
    server = FakeServer(outcomes=[ModelSetupFault("unsupported")])
    with pytest.raises(ModelSetupFault, match="unsupported"):
        await hosted(server, fault_retries=1).complete(request())
    assert server.asked == 2


async def test_an_oversized_request_is_not_sent() -> None:
    """A request that cannot fit is refused here, with the context length that would do."""
    server = FakeServer()
    with pytest.raises(ContextOverflow, match="loaded with a context of 4096") as caught:
        await hosted(server).complete(request("word " * 6000))
    assert "--context-length 11264" in caught.value.hint
    assert server.asked == 0


async def test_a_model_that_cannot_hold_enough_is_named_as_such() -> None:
    """Where the model itself is too small for the request, the hint does not ask for a longer context of it."""
    server = FakeServer(looks=[replace(HERE, models=(replace(SMALL, max_context_tokens=8192),))])
    with pytest.raises(ContextOverflow) as caught:
        await hosted(server).complete(request("word " * 6000))
    assert "this model holds 8192" in caught.value.hint


async def test_a_shared_overflow_is_tried_again_alone() -> None:
    """When all running calls overflow the shared context, each is sent once more with the host to itself."""
    server = FakeServer(outcomes=[ContextOverflow("Context size has been exceeded."), FINE])
    assert await ask_many(hosted(server), 2) == [FINE] * 2
    assert server.asked == 3

    hopeless = FakeServer(outcomes=[ContextOverflow("Context size has been exceeded.")])
    with pytest.raises(ContextOverflow) as caught:
        await hosted(hopeless).complete(request(max_tokens=2100))
    assert hopeless.asked == 2
    assert (caught.value.context_tokens, "lms load" in caught.value.hint) == (4096, True)


@pytest.mark.parametrize(("refusals", "asked"), [(3, 4), (9, 5)])
async def test_an_overflow_of_a_small_request_is_somebody_elses(refusals: int, asked: int) -> None:
    """It fits by far and was alone: who else uses the server will be done; it is waited for as long as for a fault."""
    server = FakeServer(outcomes=[*[ContextOverflow("Context size has been exceeded.")] * refusals, FINE])
    host = hosted(server, fault_retries=3)
    if asked > refusals:
        assert await host.complete(request()) == FINE
    else:
        with pytest.raises(ContextOverflow):
            await host.complete(request())
    assert server.asked == asked


async def test_an_overflow_with_sizes_is_final() -> None:
    """A server that names the sizes has counted this request: sending it again is no use."""
    server = FakeServer(outcomes=[ContextOverflow("too large", prompt_tokens=9000, context_tokens=4096)])
    with pytest.raises(ContextOverflow) as caught:
        await hosted(server).complete(request(max_tokens=1000))
    assert server.asked == 1
    assert "--context-length 11264" in caught.value.hint


async def test_an_overflow_whose_sizes_fit_was_that_of_all_calls() -> None:
    """A request that fits by the server's own numbers is sent once more, with the host to itself."""
    server = FakeServer(outcomes=[ContextOverflow("full", prompt_tokens=900, context_tokens=4096), FINE])
    assert await hosted(server).complete(request()) == FINE
    assert server.asked == 2


async def test_an_empty_reply_to_a_full_context_is_an_overflow() -> None:
    """Success without a word, while the prompt fills the context, is the overflow it hides."""
    server = FakeServer(outcomes=[ModelReply(usage=Usage(prompt_tokens=4090))])
    with pytest.raises(ContextOverflow, match="with nothing"):
        await hosted(server).complete(request())


async def test_a_timed_out_call_keeps_its_slot_for_the_cool_off() -> None:
    """The server goes on generating after we gave up, so the slot is not lent at once."""
    server = FakeServer(before_answer=anyio.sleep_forever)
    host = hosted(server, timeout_seconds=0.02, fault_retries=0, cool_off_seconds=60)
    with pytest.raises(OutputFault, match=r"did not answer in 0\.02 s"):
        await host.complete(request())
    assert host.state.in_flight == 1


async def test_cancellation_passes_through() -> None:
    """A cancelled call ends at once wherever it waits, and leaves the host usable."""
    server = FakeServer(before_answer=anyio.sleep_forever)
    host = hosted(server, slots=1)
    async with anyio.create_task_group() as calls:
        for _ in range(3):
            calls.start_soon(host.complete, request())
        await anyio.wait_all_tasks_blocked()
        assert (host.state.in_flight, host.state.waiting) == (1, 2)
        calls.cancel_scope.cancel()
    server.before_answer = None

    assert await ask_many(host, 2) == [FINE] * 2


async def test_a_cancelled_prober_hands_over() -> None:
    """When the call that does the looking is cancelled, the next one looks."""
    server = FakeServer(looks=[AWAY])
    host = hosted(server)
    async with anyio.create_task_group() as calls:
        first = anyio.CancelScope()

        async def impatient() -> None:
            with first:
                await host.complete(request())

        calls.start_soon(impatient)
        await anyio.lowlevel.checkpoint()
        calls.start_soon(ask_many, host, 2)
        first.cancel()
        server.looks = [HERE]
    assert server.asked == 2


async def test_the_state_counts_calls_and_tokens() -> None:
    """What a host has done is to be seen, warm-ups left out."""
    host = hosted(FakeServer())
    assert host.state.status is HostStatus.UNKNOWN
    await ask_many(host, 3)

    assert (host.state.status, host.state.calls, host.state.usage) == (HostStatus.UP, 3, Usage(300, 30))
    assert (host.state.in_flight, host.state.waiting) == (0, 0)


def test_settings_of_a_public_host_are_refused_before_anything_is_sent() -> None:
    """The address is checked when the host is made."""
    with pytest.raises(ConfigError):
        host_from(HostSettings(base_url="https://api.example.com/v1"))
