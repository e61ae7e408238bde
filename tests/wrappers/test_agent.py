"""The agent's runs: what it remembers, in which language it answers, and where it ends."""

import asyncio
import sqlite3
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import pytest

from tests.wrappers.agent_doubles import FakeModel, TooLong
from wrappers.agent import LangGraphWrapper
from wrappers.agent_files import BUILT_IN, AgentRefused
from wrappers.agent_memory import bounded
from wrappers.agent_run import AgentLimits, AgentRequest, AgentStopped, Began, Delta, Done

pytestmark = pytest.mark.anyio

CABLE = "Check the cable first of all, then call us."


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def request(text: str = "My printer does not print.", **fields: Any) -> AgentRequest:
    return AgentRequest(messages=({"role": "user", "content": text},), **{"model": "v3", "thread": "ann/1", **fields})


def on_disk(folder: Path) -> bytes:
    """Database and log."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def run(agent: LangGraphWrapper, *requests: AgentRequest) -> list[str]:
    """The replies to these, one after the other."""
    replies = []
    for each in requests:
        async with aclosing(agent.stream(each)) as said:
            replies += [piece.text async for piece in said if isinstance(piece, Done)]
    return replies


async def test_a_thread_is_remembered_also_after_a_restart_and_no_other_is(tmp_path: Path) -> None:
    model = FakeModel(CABLE)
    for _ in range(2):
        agent = LangGraphWrapper(model, memory=tmp_path / "memory.db")
        await run(agent, request("My printer does not print."), request("And now?"))
        await agent.close()
    last = LangGraphWrapper(model, memory=tmp_path / "memory.db")
    await run(last, request("Who am I?", thread="bea/1"), request("Who am I?", thread=None))
    await last.close()

    heard = model.heard()
    first = ["My printer does not print.", CABLE, "And now?"]
    assert heard[3] == [*first, CABLE, *first]
    assert heard[4] == heard[5] == ["Who am I?"]
    assert (tmp_path / "memory.db").stat().st_mode & 0o077 == 0


async def test_a_run_streams_and_says_first_what_it_answers(tmp_path: Path) -> None:
    agent = LangGraphWrapper(FakeModel(CABLE), memory=tmp_path / "memory.db")
    await run(agent, request("Hello there, good friend."))
    async with aclosing(agent.stream(request("My printer does not print."))) as said:
        pieces = [piece async for piece in said]
    await agent.close()

    began, *deltas, done = pieces
    assert isinstance(began, Began)
    assert [message["content"] for message in began.messages] == [
        "Hello there, good friend.",
        CABLE,
        "My printer does not print.",
    ]
    assert len(deltas) > 2
    assert "".join(delta.text for delta in deltas if isinstance(delta, Delta)) == CABLE
    assert done == Done(CABLE, "stop")


async def test_who_brings_the_thread_along_is_not_told_it_twice(tmp_path: Path) -> None:
    model = FakeModel(CABLE)
    agent = LangGraphWrapper(model, memory=tmp_path / "memory.db")
    own = [("user", "Hi."), ("assistant", "Hello."), ("user", "My printer?")]
    messages = tuple({"role": role, "content": content} for role, content in own)
    await run(agent, request("Something else."), AgentRequest(messages=messages, model="v3", thread="ann/1"))
    await agent.close()

    assert model.heard()[-1] == ["Hi.", "Hello.", "My printer?"]


async def test_one_run_asks_one_version_alone_and_the_next_may_ask_another() -> None:
    model = FakeModel("Hello to you, this is English.", "프린터 케이블을 먼저 확인해 주세요.")
    agent = LangGraphWrapper(model)
    await run(agent, request("프린터가 인쇄되지 않습니다.", model="v3"), request(model="v4"))

    assert [version for version, _, _ in model.asked] == ["v3", "v3", "v4", "v4"]


async def test_a_reply_in_another_language_is_asked_for_again_and_never_passed_on() -> None:
    model = FakeModel("Please check the cable of your printer first.", "프린터 케이블을 먼저 확인해 주세요.")
    agent = LangGraphWrapper(model)
    async with aclosing(agent.stream(request("프린터가 인쇄되지 않습니다."))) as said:
        pieces = [piece async for piece in said]

    passed_on = "".join(piece.text for piece in pieces if isinstance(piece, Delta))
    assert passed_on == "프린터 케이블을 먼저 확인해 주세요."
    prompts = [messages[0]["content"] for _, messages, _ in model.asked]
    assert "한국어" in prompts[0]
    assert prompts[1].startswith(prompts[0])
    assert len(prompts[1]) > len(prompts[0])
    assert model.open == 0


async def test_the_last_attempt_is_passed_on_whatever_its_language_and_a_wish_for_another_is_heard() -> None:
    english = "Please check the cable of your printer first."
    agent = LangGraphWrapper(FakeModel(english))
    korean, wished = await run(
        agent, request("프린터가 인쇄되지 않습니다."), request("프린터가 고장이라고 영어로 번역해 주세요.")
    )

    assert korean == wished == english
    assert len(agent._ask.asked) == 3  # type: ignore[attr-defined]


async def test_an_empty_reply_is_asked_for_again() -> None:
    assert await run(LangGraphWrapper(FakeModel("", CABLE)), request()) == [CABLE]


async def test_a_thread_that_no_longer_fits_the_model_loses_its_older_part(tmp_path: Path) -> None:
    model = FakeModel(CABLE, most=5)
    agent = LangGraphWrapper(model, memory=tmp_path / "memory.db")
    await run(agent, *(request(f"Question number {n}, please.") for n in range(5)))
    await agent.close()

    assert model.heard()[-1][0].startswith("Question number")
    assert model.heard()[-1][-1] == "Question number 4, please."
    assert len(model.heard()[-1]) <= 4
    with pytest.raises(TooLong):
        await run(LangGraphWrapper(FakeModel(CABLE, most=1)), request())


async def test_features_and_instructions_reach_the_model_and_are_neither_remembered_nor_said_to_be_asked(
    tmp_path: Path,
) -> None:
    model = FakeModel(CABLE)
    agent = LangGraphWrapper(model, memory=tmp_path / "memory.db")
    messages = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "My printer is dead."})
    asked = AgentRequest(messages=messages, model="v3", thread="ann/1", features={"plan": "gold"})
    async with aclosing(agent.stream(asked)) as said:
        began = await anext(said)
        assert [piece async for piece in said]
    await run(agent, request("And now?"))
    await agent.close()

    assert isinstance(began, Began)
    assert list(began.messages) == list(messages)
    prompt, *rest = (message["content"] for message in model.asked[0][1])
    assert "Be brief." in prompt
    assert '"plan": "gold"' in prompt
    assert rest == ["My printer is dead."]
    assert "gold" not in str(model.asked[1][1])
    assert "Be brief." not in str(model.asked[1][1])


async def test_a_run_that_takes_too_long_ends_with_an_error_and_frees_the_model() -> None:
    model = FakeModel(CABLE, stuck=True)
    agent = LangGraphWrapper(model, limits=AgentLimits(seconds=0.05))
    with pytest.raises(AgentStopped, match=r"within 0\.05 s") as stopped:
        await run(agent, request())

    assert stopped.value.bound == "time"
    assert model.open == 0


async def test_a_run_of_too_many_steps_ends_with_an_error(tmp_path: Path) -> None:
    for name in ("langgraph.py", "prompts.yaml"):
        (tmp_path / name).write_bytes((BUILT_IN / name).read_bytes())
    (tmp_path / "config.json").write_text('{"attempts": 5, "listen_characters": 24}')
    agent = LangGraphWrapper(FakeModel(""), limits=AgentLimits(steps=3))
    agent.load(str(tmp_path))
    with pytest.raises(AgentStopped, match="within 3 steps") as stopped:
        await run(agent, request())

    assert stopped.value.bound == "steps"


async def test_who_leaves_in_the_middle_frees_the_model_and_leaves_no_half_turn_behind(tmp_path: Path) -> None:
    stuck = FakeModel("One two three four five six seven eight.", stuck=True)
    agent = LangGraphWrapper(stuck, memory=tmp_path / "memory.db", limits=AgentLimits(seconds=5))
    agent._ask = impatient = FakeModel(CABLE)
    await run(agent, request("My name is Ann, by the way."))
    agent._ask = stuck
    task = asyncio.create_task(run(agent, request("And what is it now?")))
    while not stuck.open:  # noqa: ASYNC110 -- a double has no event
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stuck.open == 0
    agent._ask = impatient
    await run(agent, request("Hello again, are you there?"))
    await agent.close()

    assert impatient.heard()[-1] == ["My name is Ann, by the way.", CABLE, "Hello again, are you there?"]


async def test_what_the_model_raises_comes_out_as_it_is() -> None:
    with pytest.raises(ConnectionError, match="away"):
        await run(LangGraphWrapper(FakeModel(ConnectionError("away"))), request())


async def test_turns_of_one_thread_wait_for_each_other(tmp_path: Path) -> None:
    model = FakeModel(CABLE)
    agent = LangGraphWrapper(model, memory=tmp_path / "memory.db")
    await asyncio.gather(*(run(agent, request(f"Question number {n}, please.")) for n in range(4)))
    await agent.close()

    assert sorted(len(heard) for heard in model.heard()) == [1, 3, 5, 7]


async def test_the_file_holds_no_more_than_the_bounds_however_much_is_said(tmp_path: Path) -> None:
    limits = AgentLimits(memory_messages=4, memory_bytes=1024)
    agent = LangGraphWrapper(FakeModel("y" * 300), memory=tmp_path / "memory.db", limits=limits)
    await run(agent, *(request("x" * 300) for _ in range(6)), request("z" * 100_000))
    await agent.close()
    with closing(sqlite3.connect(tmp_path / "memory.db")) as file:
        ((size,),) = file.execute("SELECT length(checkpoint) FROM checkpoints").fetchall()
        written = file.execute("SELECT coalesce(sum(length(value)), 0) FROM writes").fetchone()[0]

    assert size + written < 3000
    assert b"zzz" not in (tmp_path / "memory.db").read_bytes()


async def test_what_names_a_person_by_itself_is_masked_before_it_is_remembered(tmp_path: Path) -> None:
    model = FakeModel("I see 4111 1111 1111 1111 and nothing else there.", "I see nothing else there.")
    agent = LangGraphWrapper(model, memory=tmp_path / "memory.db")
    await run(agent, request("주민번호는 900101-1234568, my card is 4111 1111 1111 1111."))
    written = on_disk(tmp_path)
    assert b"1234568" not in written
    assert b"4111 1111" not in written
    await run(agent, request("And now, what do you see?"))
    await agent.close()

    assert "4111 1111 1111 1111" in model.heard()[0][0], "the model is asked what was said"
    assert model.heard()[1][:2] == ["주민번호는 [RRN], my card is [CARD].", "I see [CARD] and nothing else there."]


async def test_strict_checkpoints_bring_nothing_but_plain_types_back(tmp_path: Path) -> None:
    agent = LangGraphWrapper(FakeModel(CABLE), memory=tmp_path / "memory.db")
    await run(agent, request())
    import ormsgpack
    from langgraph.checkpoint.serde.jsonplus import EXT_CONSTRUCTOR_SINGLE_ARG

    marker = tmp_path / "was-here"
    evil = ormsgpack.packb(("os", "system", f"touch {marker}"))
    packed = ormsgpack.packb({"messages": ormsgpack.Ext(EXT_CONSTRUCTOR_SINGLE_ARG, evil)})
    revived = agent._saver.serde.loads_typed(("msgpack", packed))
    await agent.close()

    assert not marker.exists()
    assert not callable(revived["messages"])
    with pytest.raises(Exception, match=r"pickle|NotImplemented|Unknown"):
        agent._saver.serde.loads_typed(("pickle", b"cos\nsystem\n(S'true'\ntR."))


def test_memory_is_cut_between_turns_and_an_unanswered_question_is_left_out() -> None:
    def said(*texts: str) -> list[dict[str, str]]:
        return [{"role": "user" if at % 2 == 0 else "assistant", "content": text} for at, text in enumerate(texts)]

    five = said("a", "b", "c", "d", "e")
    assert bounded(five, AgentLimits()) == said("a", "b", "c", "d")
    assert bounded(five, AgentLimits(memory_messages=3)) == said("c", "d")
    assert bounded(said("가" * 400, "b"), AgentLimits(memory_bytes=1024)) == []
    assert bounded([], AgentLimits()) == []


def test_training_says_that_it_is_not_applicable() -> None:
    with pytest.raises(NotImplementedError, match="not applicable"):
        LangGraphWrapper(FakeModel("")).train([], {})


def test_predict_answers_one_question_without_a_loop() -> None:
    model = FakeModel(CABLE)
    assert LangGraphWrapper(model).predict({"input": "My printer is dead.", "features": {"plan": "gold"}}) == CABLE
    assert (model.asked[0][0], "gold" in model.asked[0][1][0]["content"]) == ("production", True)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("langgraph.py", "def build(prompts): ...", "TypeError"),
        ("langgraph.py", "import nothing_of_that_name", "ModuleNotFoundError"),
        ("langgraph.py", "raise SystemExit", "SystemExit"),
        ("langgraph.py", "def build(prompts, config): return None", "whose state has messages"),
        ("prompts.yaml", "system: {ko: ['", "ParserError|ScannerError"),
        ("prompts.yaml", "system: 3", "ValidationError"),
        ("config.json", '{"attempts": 0, "listen_characters": 9}', "ValidationError"),
        ("config.json", "[" * 100_000, "RecursionError|JSONDecodeError"),
        ("config.json", "", "JSONDecodeError"),
        ("langgraph.py", "x" * 2**20 + "y", "plain file of at most"),
    ],
)
def test_files_that_are_no_agent_are_refused_and_the_former_graph_stays(
    tmp_path: Path, name: str, content: str, said: str
) -> None:
    for each in ("langgraph.py", "prompts.yaml", "config.json"):
        (tmp_path / each).write_bytes((BUILT_IN / each).read_bytes())
    (tmp_path / name).write_text(content)
    agent = LangGraphWrapper(FakeModel(CABLE))
    with pytest.raises(AgentRefused, match=said):
        agent.load(str(tmp_path))

    assert agent.files.version == "built-in"
    assert agent.predict({"input": "My printer is dead."}) == CABLE


@pytest.mark.parametrize(
    "uri", ["http://elsewhere/agent", "models:/../x@y", "runs:/abc/agent", "/nowhere", "models:/a/b", ""]
)
def test_only_our_registry_and_folders_are_loaded_from(uri: str, tmp_path: Path) -> None:
    with pytest.raises(AgentRefused):
        LangGraphWrapper(FakeModel(""), cache=tmp_path).load(uri)
