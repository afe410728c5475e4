"""Any JSON is either a request or refused: nothing else comes of reading it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from server.dialects.chat import ChatDialect
from server.dialects.completions import CompletionsDialect
from server.dialects.dialect import Dialect
from server.dialects.option_table import GUARD, OPTIONS, PASS, STRIP, USUAL, Surface, Treatment
from server.dialects.request_fields import CHAT_REQUEST, COMPLETIONS_REQUEST
from server.faults import RequestRefused


def openest(*wanted: Treatment) -> Surface:
    """A surface on which every option has the first of these treatments that it may have."""
    return Surface({name: t for name, option in OPTIONS.items() for t in reversed(wanted) if t in option.allowed})


SURFACES = (USUAL, openest(GUARD, PASS), openest(STRIP))
DIALECTS: list[Dialect] = [kind(surface) for kind in (ChatDialect, CompletionsDialect) for surface in SURFACES]
ROLES = st.sampled_from(["user", "assistant", "system", "tool", "developer"])
LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=6)
WORDS = (
    *("type", "text", "content", "role", "image_url", "json", "regex", "schema", "json_schema", "properties", "enum"),
    *("chat_template", "tokenize", "include_usage", "function", "name", "description", "choice", "grammar"),
)
NAMES = st.sampled_from(WORDS) | st.text(max_size=4)
JSONS = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)
PARTS = st.fixed_dictionaries({"type": st.sampled_from(["text", "image_url", "thinking"])}, optional={"text": JSONS})
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": ROLES}, optional={"content": st.text(max_size=9) | st.lists(PARTS), "x": JSONS}),
    max_size=3,
)
KNOWN = sorted(CHAT_REQUEST.names | COMPLETIONS_REQUEST.names | {"of_tomorrow"})
BODIES = st.dictionaries(st.sampled_from(KNOWN), JSONS, max_size=5)


def _asked(body: dict[str, Any], messages: list[Any] | None, prompt: Any) -> bytes:
    return json.dumps({**({"messages": messages} if messages is not None else {}), "prompt": prompt, **body}).encode()


@given(st.sampled_from(DIALECTS), BODIES, st.none() | MESSAGES, st.text(max_size=9) | JSONS)
def test_reading_a_request_answers_or_refuses(
    dialect: Dialect, body: dict[str, Any], messages: list[Any] | None, prompt: Any
) -> None:
    try:
        asked = dialect.read(_asked(body, messages, prompt))
    except RequestRefused:
        return
    sent = json.loads(asked.forward)
    assert sent.keys() <= (CHAT_REQUEST if dialect.name == "chat" else COMPLETIONS_REQUEST).names
    assert all(isinstance(text, str) and text for text in asked.texts)
    assert len(asked.questions) >= 1
    assert asked.choices >= len(asked.questions)
    assert isinstance(json.loads(dialect.with_usage(asked)), dict)
    dialect.telling(asked)


@given(st.sampled_from(DIALECTS), MESSAGES)
def test_every_text_of_a_message_is_judged(dialect: Dialect, messages: list[Any]) -> None:
    planted = [*messages, {"role": "user", "content": [{"type": "text", "text": "copper"}], "more": {"a": ["treaty"]}}]
    try:
        asked = dialect.read(json.dumps({"messages": planted, "prompt": "copper treaty"}).encode())
    except RequestRefused:
        return
    said = "\n".join(asked.texts)
    assert "copper" in said
    assert "treaty" in said
