"""`/v1/completions`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from server.dialects.choices import ChoicesDialect
from server.dialects.conversation import Conversation, last_words
from server.dialects.dialect import Channel, Json, Piece, Rewrite
from server.dialects.envelope import envelope
from server.dialects.fields import Leaf
from server.dialects.options import COMMON_OPTIONS
from server.faults import RequestRefused

_FIELDS: Final = envelope({"text": Leaf.TEXT})


class CompletionsDialect(ChoicesDialect):
    """One text per choice; one request may hold several prompts."""

    name = "completions"
    path = "/v1/completions"
    speech = "text"
    _options = COMMON_OPTIONS
    _event_fields = _FIELDS
    _body_fields = _FIELDS
    _objects = ("text_completion", "text_completion")
    _id_prefix = "cmpl-"

    def _conversation(self, body: Json) -> Conversation:
        prompt = body.get("prompt")
        prompts = [prompt] if isinstance(prompt, str) else prompt
        if not isinstance(prompts, list) or not prompts or not all(isinstance(p, str) for p in prompts):
            raise RequestRefused("'prompt' must be a string or a list of strings", "prompt", "invalid_type")
        suffix = body.get("suffix")
        texts = (*prompts, suffix) if isinstance(suffix, str) else tuple(prompts)
        return Conversation(texts, tuple(last_words(text) for text in prompts), texts)

    def _pieces(self, choice: Json, index: int, whole: bool) -> Iterator[Piece]:
        text = choice.get("text")
        if text:
            yield Piece(Channel(index, "text"), text, choice, "text")

    def _delta(self, text: str, opens: bool) -> Json:
        return {"text": text}

    def _message(self, choice: Json, text: str) -> Json:
        return {"text": text}

    def _instruct(self, body: Json, prompt: int, rewrite: Rewrite) -> None:
        prompts = body["prompt"]
        asked = prompts if isinstance(prompts, str) else prompts[prompt]
        body["prompt"] = f"{rewrite.instruction}\n\n{asked}{rewrite.begun}"

    def _text(self, choice: Json) -> str:
        return choice.get("text") or ""
