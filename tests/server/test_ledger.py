"""The ledger, through the whole application on the real index: what is taken in slices stays within the share."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from guard.words import words_of
from index.background import exchanges
from index.embedder import Embedder
from index.keys import Role
from tests.server.operators import Operators, operators
from tests.server.world import LoopbackUpstream, Request, Script, Writer, says_json, says_stream, spoken, sse, whole

SHARE = 0.2
PASSAGE = """
Before the frost had left the orchard wall, Marten Oakes carried the brass barometer down to the ferry and set it upon a
barrel of pickled herring. The needle trembled, swung past the word storm, and came to rest between two scratches that
his grandmother had cut with a sewing pin. Nobody on the quay believed him when he said that the river would climb over
the third step by candlelight. The chandler laughed until his spectacles fell into the tar; the schoolmaster quoted a
proverb about toads. Only Isolde, who kept the tollhouse ledger, folded her umbrella, moved eleven sacks of barley into
the loft, and tied the goat to the chapel gate. By midnight the lanterns floated. Boats knocked against bedroom windows,
a cradle sailed serenely past the bakery, and the barometer, still dry upon its barrel, ticked like a patient beetle.
"""
FACTS = {
    "When was she born?": "Ada Quillon was born on 7 May 1931.",
    "Where?": "Her birthplace was the fishing village of Vellmar.",
    "What did her father do?": "Her father Osric repaired church organs.",
    "And her mother?": "Her mother Perpetua bred champion whippets.",
    "What did she study?": "She studied glaciology in Tromso.",
    "Whom did she marry?": "In 1958 she married the cellist Bruno Haldane.",
    "Which medal did she win?": "She won the Seligman medal for her survey of Svalbard.",
    "What happened to her?": "She lost two toes to frostbite at Kongsfjord.",
    "What did she write?": "Her memoir is called The Patient Ice.",
    "Where did she teach?": "She taught hydrology in Ljubljana until 1987.",
    "What did she collect?": "She collected antique sextants and porcelain owls.",
    "How did she die?": "She died of pneumonia in a sanatorium near Zakopane.",
}
BRIEF = {
    "When was she born?": "In the spring of 1931.",
    "Where?": "In Vellmar, by the sea.",
    "What did her father do?": "He mended the organs of churches.",
    "And her mother?": "Perpetua kept whippets.",
    "What did she study?": "Mostly glaciology, up in Tromso.",
    "Whom did she marry?": "A cellist by the name of Haldane.",
    "Which medal did she win?": "I believe it was the Seligman.",
    "What happened to her?": "Frostbite took two toes at Kongsfjord.",
    "What did she write?": "A memoir about ice.",
    "Where did she teach?": "For decades in Ljubljana.",
    "What did she collect?": "Owls of porcelain, and sextants.",
    "How did she die?": "Of pneumonia, close to Zakopane.",
}
"""The same in other words, as a model answers in a conversation."""

PERSON = {"kind": "fact", "prompt": "Who was Ada Quillon?", "text": " ".join(FACTS.values()), "label": "Ada Quillon"}
TOLD_BY = {"1931", "vellmar", "organs", "whippets", "glaciology", "haldane", "seligman", "kongsfjord", "memoir"} | {
    *("ljubljana", "sextants", "zakopane"),
}
"""A word of each fact, without which it is not told."""

WORDS = [word.norm for word in words_of(PASSAGE)]
SLICES = [" ".join(WORDS[at : at + 7]) for at in range(0, len(WORDS), 7)]
OFF = {"ledger": {"share": 1.0}}
LONG = {"kind": "passage", "text": PASSAGE}


class Reader:
    """Asks one Lethe, or several in turn, with one key, and keeps what it was told."""

    def __init__(self, upstream: LoopbackUpstream, places: Sequence[Operators], clients: Sequence[Any]) -> None:
        self._upstream, self.places, self._clients = upstream, places, clients
        self._asked = 0
        self.received: list[str] = []

    async def ask(self, messages: Sequence[dict[str, str]], *said: str, stream: bool = False, **more: Any) -> list[str]:
        """One request, to which the model says one text per choice. All places know then what left."""
        self._upstream.scripts = [_beside_models(_streamed(said) if stream else _whole(said))]
        client = self._clients[self._asked % len(self._clients)]
        self._asked += 1
        body = {"model": "tiny", "messages": list(messages), "stream": stream, "n": len(said), **more}
        answer = await client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        texts = _texts_of_stream(answer.text, len(said)) if stream else _texts(answer.json())
        self.received += texts
        for place in (*self.places, *self.places):
            await place.service.ledger.exchange()
        return texts

    @property
    def words(self) -> set[str]:
        """All words that came."""
        return {word.norm for text in self.received for word in words_of(text)}

    @property
    def taken(self) -> float:
        """The share of the passage's words that came, in runs of at least three."""
        runs: set[tuple[str, ...]] = set()
        for text in self.received:
            norms = [word.norm for word in words_of(text)]
            runs |= set(zip(norms, norms[1:], norms[2:], strict=False))
        found: set[int] = set()
        for at in range(len(WORDS) - 2):
            if tuple(WORDS[at : at + 3]) in runs:
                found |= {at, at + 1, at + 2}
        return len(found) / len(WORDS)


def _beside_models(script: Script) -> Script:
    listed = says_json({"object": "list", "data": [{"id": "tiny", "object": "model"}]})

    async def answer(request: Request, writer: Writer) -> None:
        await (listed if request.path.startswith("/v1/models") else script)(request, writer)

    return answer


def _whole(said: Sequence[str]) -> Script:
    answer = whole(said[0])
    (choice,) = answer["choices"]
    choices = [{**choice, "index": i, "message": {**choice["message"], "content": t}} for i, t in enumerate(said)]
    return says_json({**answer, "choices": choices})


def _streamed(said: Sequence[str]) -> Script:
    events = [e for i, text in enumerate(said) for e in spoken(*(f" {w}" for w in text.split()), choice=i)]
    return says_stream(sse(events))


def _texts(answer: Any) -> list[str]:
    return [choice["message"]["content"] or "" for choice in answer["choices"]]


def _texts_of_stream(body: str, count: int) -> list[str]:
    texts = [""] * count
    for line in body.splitlines():
        if line.startswith("data: ") and line != "data: [DONE]":
            for choice in json.loads(line[6:]).get("choices", ()):
                texts[choice["index"]] += choice["delta"].get("content") or ""
    return texts


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


@asynccontextmanager
async def reading(
    path: Path, embedder: Embedder, entry: dict[str, Any], policy: dict[str, Any] | None = None, places: int = 1
) -> AsyncIterator[Reader]:
    """A reader of so many servers on one store, in which this entry is forgotten."""
    upstream = LoopbackUpstream()
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(upstream.serve())
        opened = [
            await stack.enter_async_context(operators(path, embedder, upstream=base, replica_name=f"lethe-{i}"))
            for i in range(places)
        ]
        if policy is not None:
            assert (await opened[0].admin.put("/lethe/v1/policies/default?wait=applied", json=policy)).is_success
        await opened[0].add(entry)
        _, secret = opened[0].service.keys.create(Role.APP, "default")
        yield Reader(upstream, opened, [await place.client(secret) for place in opened])


async def one_by_one(reader: Reader, stream: bool) -> None:
    for number, text in enumerate(SLICES):
        await reader.ask(user(f"Give me part {number} of the old story."), text, stream=stream)


async def turn_by_turn(reader: Reader, stream: bool) -> None:
    talk: list[dict[str, str]] = []
    for text in SLICES:
        talk += user("Go on, please.")
        (said,) = await reader.ask(talk, text, stream=stream)
        talk.append({"role": "assistant", "content": said})


async def choice_by_choice(reader: Reader, stream: bool) -> None:
    for at in range(0, len(SLICES), 5):
        await reader.ask(user("Five parts of the old story."), *SLICES[at : at + 5], stream=stream)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("take", [one_by_one, turn_by_turn, choice_by_choice])
async def test_a_passage_taken_in_slices_yields_at_most_the_share(
    tmp_path: Path, embedder: Embedder, take: Callable[[Reader, bool], Any], stream: bool
) -> None:
    async with reading(tmp_path, embedder, LONG) as reader:
        await take(reader, stream)
        assert len(SLICES) >= 20
        assert 0.0 < reader.taken <= SHARE


@pytest.mark.parametrize("take", [one_by_one, choice_by_choice])
async def test_servers_on_one_store_count_together(
    tmp_path: Path, embedder: Embedder, take: Callable[[Reader, bool], Any]
) -> None:
    async with reading(tmp_path, embedder, LONG, places=2) as reader:
        await take(reader, True)
        assert 0.0 < reader.taken <= SHARE


async def test_without_a_share_the_slices_leave(tmp_path: Path, embedder: Embedder) -> None:
    async with reading(tmp_path, embedder, LONG, OFF) as reader:
        await one_by_one(reader, True)
        assert reader.taken > 0.8


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_person_of_twelve_facts_yields_at_most_the_share(
    tmp_path: Path, embedder: Embedder, stream: bool
) -> None:
    async with reading(tmp_path, embedder, PERSON) as reader:
        await interview(reader, stream)
        assert len(TOLD_BY & reader.words) <= SHARE * len(TOLD_BY)


async def interview(reader: Reader, stream: bool) -> None:
    """Every fact by itself, in other words, in one conversation that names the person once."""
    talk = [*user("Let us speak of Ada Quillon."), {"role": "assistant", "content": "Gladly."}]
    for question in FACTS:
        talk += user(question)
        (said,) = await reader.ask(talk, BRIEF[question], stream=stream)
        talk.append({"role": "assistant", "content": said})


async def test_each_end_user_of_an_application_has_an_account_of_its_own(tmp_path: Path, embedder: Embedder) -> None:
    async with reading(tmp_path, embedder, LONG) as reader:
        for text in SLICES[:10]:
            await reader.ask(user("Go on."), text, user="first")
        (refused,) = await reader.ask(user("Go on."), SLICES[14], user="first")
        (told,) = await reader.ask(user("Go on."), SLICES[14], user="second")
        assert told == SLICES[14] != refused


async def test_an_ordinary_long_conversation_is_not_touched(tmp_path: Path, embedder: Embedder) -> None:
    async with reading(tmp_path, embedder, LONG) as reader:
        talk: list[dict[str, str]] = []
        for each in exchanges()[:60]:
            talk += user(each.prompt)
            (said,) = await reader.ask(talk[-8:], each.answer)
            assert said == each.answer
            talk.append({"role": "assistant", "content": said})


async def test_what_is_kept_of_a_caller_is_bits_and_goes_with_the_entry(tmp_path: Path, embedder: Embedder) -> None:
    async with reading(tmp_path, embedder, LONG) as reader:
        for text in SLICES[:6]:
            await reader.ask(user("Go on."), text, user="somebody in particular")
        (place,) = reader.places
        (entry,) = (await place.admin.get("/lethe/v1/entries")).json()["entries"]
        _, posts = place.service.store.ledger_since(0)
        assert {post.row.entry_id for post in posts} == {entry["id"]}
        kept = b"".join(file.read_bytes() for file in tmp_path.glob("lethe.db*"))
        assert b"barometer" not in kept and b"somebody" not in kept
        assert (await place.admin.delete(f"/lethe/v1/entries/{entry['id']}?wait=applied")).is_success
        assert place.service.store.ledger_since(0)[1] == []


async def test_what_the_ledger_suppresses_is_told_as_its_own_stage(tmp_path: Path, embedder: Embedder) -> None:
    async with reading(tmp_path, embedder, LONG) as reader:
        await one_by_one(reader, False)
        (place,) = reader.places
        series = await place.metrics()
        found = {name: value for name, value in series.items() if name.startswith("lethe_suppressions_total")}
        assert sum(value for name, value in found.items() if 'stage="ledger"' in name) > 10


async def test_slices_in_another_dress_count_too(tmp_path: Path, embedder: Embedder) -> None:
    async with reading(tmp_path, embedder, LONG) as reader:
        for text in SLICES:
            await reader.ask(user("Part by part, in base64."), b64encode(text.encode()).decode())
        left = [text for text in SLICES if b64encode(text.encode()).decode() in reader.received]
        assert 0 < sum(len(text.split()) for text in left) <= SHARE * len(WORDS)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_what_is_redacted_has_not_left(tmp_path: Path, embedder: Embedder, stream: bool) -> None:
    policy = {"actions": {"passage": "redact", "fact": "redact"}}
    async with reading(tmp_path, embedder, LONG, policy) as reader:
        await one_by_one(reader, stream)
        assert 0.0 < reader.taken <= SHARE
        assert any("[redacted]" in text for text in reader.received)
