"""How many tokens a client received, where upstream's own count would tell how much was suppressed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from server.dialects.dialect import Asked
from server.lanes import Held

_PIECE: Final = re.compile(r"\w+|[^\w\s]")


def estimate_tokens(text: str) -> int:
    """An estimate without a tokenizer: every word and every punctuation mark counts one."""
    return sum(1 for _ in _PIECE.finditer(text))


def usage_of(prompt: int, completion: int) -> dict[str, Any]:
    """The usage object of the dialects with choices."""
    return {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}


class Tally:
    """Counts what a stream delivered, per choice.

    Upstream's running count is exact up to the last event that left whole; what was added by us is estimated, and a
    choice of which something was redacted is estimated as a whole. Without a running count, an event counts one.
    """

    def __init__(self) -> None:
        self._prompt: dict[int, int] = {}
        self._tokens: dict[int, int] = {}
        self._added: dict[int, int] = {}
        self._shown: dict[int, list[tuple[str, str]]] = {}
        self._redacted: set[int] = set()

    @property
    def suppressed(self) -> bool:
        """True when upstream's count is not what the client received."""
        return bool(self._redacted or self._added)

    def redacted(self, choice: int) -> bool:
        """True when something of this choice was redacted."""
        return choice in self._redacted

    def left(self, held: Held, choice: int) -> None:
        """An event of a choice left."""
        frame = held.frame
        for piece in frame.pieces:
            if piece.text:
                self._shown.setdefault(choice, []).append((piece.channel.name, piece.text))
        if held.cut:
            self.add(choice, "".join(piece.text for piece in frame.pieces))
            return
        if held.altered:
            self._redacted.add(choice)
        if frame.usage is not None:
            self._tokens[choice] = _number(frame.usage, "completion_tokens")
            self._prompt[choice] = _number(frame.usage, "prompt_tokens")
        elif frame.pieces:
            self._tokens[choice] = self._tokens.get(choice, 0) + 1

    def add(self, choice: int, text: str, tokens: int | None = None) -> None:
        """Text of our own was sent for a choice."""
        self._shown.setdefault(choice, []).append(("", text))
        counted = estimate_tokens(text) if tokens is None else tokens
        self._added[choice] = self._added.get(choice, 0) + counted

    def shown(self, choice: int, channel: str | None = None) -> str:
        """What the client has seen of a choice, of one channel or of all."""
        return "".join(text for name, text in self._shown.get(choice, ()) if channel is None or name == channel)

    def total(self, asked: Asked, final: Mapping[str, Any] | None) -> dict[str, Any]:
        """The usage of what was delivered; `final` is upstream's own, if it came."""
        completion = 0
        for choice in self._tokens.keys() | self._added.keys() | self._shown.keys():
            if choice in self._redacted:
                completion += estimate_tokens(self.shown(choice))
            else:
                completion += self._tokens.get(choice, 0) + self._added.get(choice, 0)
        if final is not None:
            return {**usage_of(_number(final, "prompt_tokens"), completion), **_prompt_details(final)}
        return usage_of(self._prompts(asked), completion)

    def _prompts(self, asked: Asked) -> int:
        if not self._prompt:
            return estimate_tokens("\n".join(asked.texts))
        each = max(1, asked.choices // max(1, len(asked.questions)))
        return sum({choice // each: tokens for choice, tokens in self._prompt.items()}.values())


def suppressed_usage(upstream: Mapping[str, Any] | None, asked: Asked, delivered: str) -> dict[str, Any]:
    """The usage of a whole answer that was changed: the prompt as upstream counted it, the answer as it is now."""
    if upstream is None:
        return usage_of(estimate_tokens("\n".join(asked.texts)), estimate_tokens(delivered))
    counted = usage_of(_number(upstream, "prompt_tokens"), estimate_tokens(delivered))
    return {**counted, **_prompt_details(upstream)}


def _prompt_details(usage: Mapping[str, Any]) -> dict[str, Any]:
    return {key: usage[key] for key in ("prompt_tokens_details",) if key in usage}


def _number(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) else 0
