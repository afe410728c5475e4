"""`/v1/completions`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeGuard

from server.dialects.choices import ChoicesDialect
from server.dialects.conversation import Conversation, last_words
from server.dialects.dialect import Channel, Json, Piece, Rewrite
from server.dialects.envelope import envelope
from server.dialects.fields import Leaf
from server.dialects.option_table import PASS
from server.dialects.options import not_allowed
from server.dialects.request_fields import COMPLETIONS_REQUEST
from server.faults import RequestRefused

_FIELDS: Final = envelope({"text": Leaf.TEXT})


class CompletionsDialect(ChoicesDialect):
    """One text per choice; one request may hold several prompts."""

    name = "completions"
    path = "/v1/completions"
    speech = "text"
    request_fields = COMPLETIONS_REQUEST
    _event_fields = _FIELDS
    _body_fields = _FIELDS
    _objects = ("text_completion", "text_completion")
    _id_prefix = "cmpl-"

    def strip(self, body: Json) -> Sequence[str]:
        """Nothing; a prompt in token numbers may be refused. Raises `RequestRefused`."""
        if _is_numbered(body.get("prompt")) and self._surface.treatment("token_prompts") is not PASS:
            raise not_allowed("token_prompts", "prompt")
        return ()

    def conversation(self, body: Json, brought: tuple[str, ...]) -> Conversation:
        """The prompts, and what follows the answer."""
        prompt = body.get("prompt")
        prompts = [prompt] if isinstance(prompt, str) else prompt
        if _is_numbered(prompt):
            prompts = [""] * (1 if isinstance(prompt[0], int) else len(prompt))
        if not isinstance(prompts, list) or not prompts or not all(isinstance(p, str) for p in prompts):
            raise RequestRefused("'prompt' must be a string or a list of strings", "prompt", "invalid_type")
        suffix = body.get("suffix")
        own = tuple(text for text in (*prompts, suffix) if isinstance(text, str) and text)
        return Conversation((*brought, *own), tuple(last_words(text) for text in prompts), own)

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
        numbered = _is_numbered(prompts)  # such a question cannot be repeated in words
        asked = "" if numbered else prompts if isinstance(prompts, str) else prompts[prompt]
        body["prompt"] = f"{rewrite.instruction}\n\n{asked}{rewrite.begun}"

    def _text(self, choice: Json) -> str:
        return choice.get("text") or ""

    def _said(self, choice: Json) -> tuple[str, ...]:
        return (self._text(choice),)


def _is_numbered(prompt: object) -> TypeGuard[list[int] | list[list[int]]]:
    """True for a question as token numbers, or several of them."""
    if not isinstance(prompt, list) or not prompt:
        return False
    return any(type(item) is int or isinstance(item, list) for item in prompt)
