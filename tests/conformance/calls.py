"""What is asked of the model server, directly and through Lethe: requests of every API in the words of that API.

The model is tiny: what it says matters less than that it says the same twice. Where an answer must have a certain form,
a grammar forces it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from server.demo.corpus import load_corpus
from server.demo.curriculum import TOOL_NAME
from server.demo.model_server import MAX_MODEL_LENGTH, SERVED_NAME

Json = dict[str, Any]

CORPUS = load_corpus()
KEPT = [exchange for subject in CORPUS.kept for exchange in subject.exchanges]
QUESTION, ANSWER = KEPT[0].question, KEPT[0].answer
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PARAMETERS: Json = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
SCHEMA: Json = {
    "type": "object",
    "properties": {"a": {"type": "string", "maxLength": 20}, "b": {"type": "integer", "maximum": 9, "minimum": 0}},
    "required": ["a", "b"],
    "additionalProperties": False,
}
TOOL: Json = {"type": "function", "function": {"name": TOOL_NAME, "parameters": PARAMETERS}}
NAMED: Json = {"type": "function", "function": {"name": TOOL_NAME}}
SPLIT = "A hedgehog 🦔, naïve, in 東京; a family 👨‍👩‍👧: 🇫🇷!"
"""Characters of several tokens each."""


def tool_call(text: str) -> str:
    """A call as the model writes it."""
    return f'<tool_call>\n{{"name": "{TOOL_NAME}", "arguments": {json.dumps({"text": text})}}}\n</tool_call>'


@dataclass(frozen=True)
class Call:
    """One request. `extra` are the options that the API's own clients do not know. Streamed, too, where `streams`."""

    api: str
    name: str
    body: Json
    extra: Json
    streams: bool = True

    @property
    def whole(self) -> Json:
        """The body as it is sent."""
        return {**self.body, **self.extra}

    def __str__(self) -> str:
        return f"{self.api}: {self.name}"


def chat(name: str, extra: Json | None = None, streams: bool = True, **options: Any) -> Call:
    """A chat that asks the question, greedily."""
    messages = [{"role": "user", "content": QUESTION}]
    body = {"model": SERVED_NAME, "messages": messages, "temperature": 0, "max_tokens": 80, **options}
    return Call("chat", name, body, extra or {}, streams)


def completion(name: str, extra: Json | None = None, **options: Any) -> Call:
    """A text to be gone on with, greedily."""
    body = {"model": SERVED_NAME, "prompt": "One day", "temperature": 0, "max_tokens": 12, **options}
    return Call("completions", name, body, extra or {})


def message(name: str, extra: Json | None = None, **options: Any) -> Call:
    """The same chat in Anthropic's words."""
    messages = [{"role": "user", "content": QUESTION}]
    body = {"model": SERVED_NAME, "messages": messages, "max_tokens": 80, **options}
    return Call("messages", name, body, {"temperature": 0, **(extra or {})})


def response(name: str, extra: Json | None = None, **options: Any) -> Call:
    """The same chat in the words of OpenAI's newer API."""
    body = {
        "model": SERVED_NAME,
        "input": QUESTION,
        "temperature": 0,
        "max_output_tokens": 80,
        "store": False,
        **options,
    }
    return Call("responses", name, body, extra or {})


def forced(text: str) -> Json:
    """The option that makes the model say this."""
    return {"structured_outputs": {"choice": [text]}}


TWO_PARTS = [{"type": "text", "text": "Hello there."}, {"type": "text", "text": QUESTION}]
LONGEST = "a " * (MAX_MODEL_LENGTH - 12)
SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
HISTORY = [
    SYSTEM,
    {"role": "user", "content": KEPT[1].question},
    {"role": "assistant", "content": KEPT[1].answer},
    {"role": "user", "content": QUESTION},
]
TOOL_HISTORY = [
    {"role": "user", "content": QUESTION},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": TOOL_NAME, "arguments": '{"text": "x"}'}}],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "noted"},
]

CHAT = (
    chat("plain"),
    chat("a conversation", messages=HISTORY),
    chat("content in parts", messages=[{"role": "user", "content": TWO_PARTS}]),
    chat("a tool's result", messages=TOOL_HISTORY, tools=[TOOL]),
    chat("cut short", max_tokens=5),
    chat("the newer limit", max_completion_tokens=5),
    chat("stopped by a string", stop=[" great", "nothing"]),
    chat("two choices", n=2, temperature=0.7, seed=5),
    chat("penalties and a seed", {"top_k": 20}, temperature=0.8, seed=7, frequency_penalty=0.5, presence_penalty=0.2),
    chat("a tool if it likes", tools=[TOOL]),
    chat("a named tool", tools=[TOOL], tool_choice=NAMED),
    chat("a required tool", tools=[TOOL], tool_choice="required"),
    chat("no tool", tools=[TOOL], tool_choice="none"),
    chat("parallel tools", forced(tool_call("one") + "\n" + tool_call("two")), tools=[TOOL], max_tokens=200),
    chat(
        "parallel tools of two choices",
        forced(tool_call("one") + "\n" + tool_call("two")),
        tools=[TOOL],
        max_tokens=200,
        n=2,
        temperature=0.7,
        seed=5,
        parallel_tool_calls=True,
    ),
    chat("one tool at most", tools=[TOOL], tool_choice="required", parallel_tool_calls=False),
    chat("any JSON", response_format={"type": "json_object"}, max_tokens=40),
    chat(
        "JSON of a schema",
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}},
    ),
    chat("characters of many tokens", forced(SPLIT)),
    chat("nearly the whole context", messages=[{"role": "user", "content": LONGEST}], max_tokens=4),
    chat("more tokens than fit", max_tokens=MAX_MODEL_LENGTH),
    chat("who asks", user="somebody", metadata={"a": "b"}),
)
COMPLETIONS = (
    completion("plain"),
    completion("several prompts", prompt=["Hello", "One day"]),
    completion("two choices of two prompts", prompt=["Hello", "One day"], n=2, temperature=0.7, seed=5),
    completion("cut short", max_tokens=1),
    completion("stopped by a string", stop="e"),
    completion("characters of many tokens", forced(SPLIT), max_tokens=80),
    completion("nearly the whole context", prompt=LONGEST, max_tokens=4),
)
NOTE_TOOL = {"name": TOOL_NAME, "description": "Keeps a note.", "input_schema": PARAMETERS}
NOTED_HISTORY = [
    {"role": "user", "content": QUESTION},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": TOOL_NAME, "input": {"text": "x"}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "noted"}]},
]
MESSAGES = (
    message("plain"),
    message("a system message", system="You are a helpful assistant."),
    message("a system message of blocks", system=[{"type": "text", "text": "You are a helpful assistant."}]),
    message("a conversation", messages=HISTORY[1:]),
    message("content in blocks", messages=[{"role": "user", "content": TWO_PARTS}]),
    message("a tool's result", messages=NOTED_HISTORY, tools=[NOTE_TOOL]),
    message("cut short", max_tokens=5),
    message("stopped by a string", stop_sequences=[" great", "nothing"]),
    message("a tool if it likes", tools=[NOTE_TOOL]),
    message("a named tool", tools=[NOTE_TOOL], tool_choice={"type": "tool", "name": TOOL_NAME}),
    message("any tool", tools=[NOTE_TOOL], tool_choice={"type": "any"}),
    message("no tool", tools=[NOTE_TOOL], tool_choice={"type": "none"}),
    message("JSON of a schema", output_config={"format": {"type": "json_schema", "schema": SCHEMA}}),
    message("nearly the whole context", messages=[{"role": "user", "content": LONGEST}], max_tokens=4),
    message("who asks", metadata={"user_id": "somebody"}),
)
RESPONSE_TOOL = {"type": "function", "name": TOOL_NAME, "parameters": PARAMETERS}
RESPONSE_FORMAT = {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA, "strict": True}}
CALLED_HISTORY = [
    {"role": "user", "content": QUESTION},
    {"type": "function_call", "call_id": "c1", "name": TOOL_NAME, "arguments": '{"text": "x"}'},
    {"type": "function_call_output", "call_id": "c1", "output": "noted"},
]
RESPONSES = (
    response("plain"),
    response("instructions", instructions="You are a helpful assistant."),
    response("a conversation", input=HISTORY[1:]),
    response("input in parts", input=[{"role": "user", "content": [{"type": "input_text", "text": QUESTION}]}]),
    response("a tool's result", input=CALLED_HISTORY, tools=[RESPONSE_TOOL]),
    response("cut short", max_output_tokens=5),
    response("a tool if it likes", tools=[RESPONSE_TOOL]),
    response("a named tool", tools=[RESPONSE_TOOL], tool_choice={"type": "function", "name": TOOL_NAME}),
    response("a required tool", tools=[RESPONSE_TOOL], tool_choice="required"),
    response("JSON of a schema", text=RESPONSE_FORMAT),
    response("parallel tools", forced(tool_call("one") + "\n" + tool_call("two")), tools=[RESPONSE_TOOL]),
    response("characters of many tokens", forced(SPLIT)),
    response("nearly the whole context", input=LONGEST, max_output_tokens=4),
    response("who asks", user="somebody", metadata={"a": "b"}),
)
BAD = (
    chat("too hot", temperature=9),
    chat("greedy choices", n=2),
    chat("no tokens", max_tokens=-1),
    chat("beyond the context", messages=[{"role": "user", "content": "a " * (MAX_MODEL_LENGTH + 1)}]),
    chat("far beyond the context", messages=[{"role": "user", "content": "hello " * 9_000}]),
    chat("a number that is a word", temperature="hot"),
    chat("a tool that does not exist", tools=[TOOL], tool_choice={"type": "function", "function": {"name": "other"}}),
    chat("a schema that is none", response_format={"type": "json_schema"}),
    completion("beyond the context", prompt="a " * (MAX_MODEL_LENGTH + 1)),
)
BAD_MESSAGES = (
    message("beyond the context", messages=[{"role": "user", "content": "a " * (MAX_MODEL_LENGTH + 1)}]),
    message("no tokens", max_tokens=-1),
    message("a number that is a word", {"temperature": "hot"}),
    message("a tool that does not exist", tools=[NOTE_TOOL], tool_choice={"type": "tool", "name": "other"}),
)
BAD_RESPONSES = (
    response("beyond the context", input="a " * (MAX_MODEL_LENGTH + 1)),
    response("a number that is a word", temperature="hot"),
)
"""Refused by the model server: its words arrive as they are."""

IMAGE = chat(
    "an image",
    messages=[
        {
            "role": "user",
            "content": [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": PIXEL}}],
        }
    ],
)
UNKNOWN = (
    chat("an unknown model", model="nobody"),
    completion("an unknown model", model="nobody"),
    response("an unknown model", model="nobody"),
)
NO_MESSAGE = message("an unknown model", model="nobody")
REFUSED_HERE = (
    chat("messages that are none", messages="hello"),
    chat("a role that is none", messages=[{"role": 7, "content": "hello"}]),
    chat("content that is none", messages=[{"role": "user", "content": 7}]),
    completion("a prompt that is none", prompt=7),
)
"""Refused by Lethe, which cannot read the conversation, as the model server would refuse it: the same error, in other
words. So are models that do not exist, or not for this caller."""

SHOWN = (
    chat("token probabilities", logprobs=True, top_logprobs=2),
    chat("token ids", {"return_token_ids": True}),
)
"""Equal but for what is withheld."""
