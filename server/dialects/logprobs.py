"""How likely the tokens of a text were, for clients that may know: only of what is said, in the words in which it is.

```
    text that leaves     "The harbour"
    tokens               "The"  " harbour"  "<end>"       those that spell the text; none when they spell another
    alternatives          |  "A", "Its"                   never: they spell texts of their own over the positions
```
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

from server.dialects.dialect import Json

_NUMBER: Final = (int, float)


def take_logprobs(body: Json) -> list[tuple[Json, Json]]:
    """Take what is told about tokens out of every choice, to be put back once it is known what the choice says."""
    choices = body.get("choices")
    taken = []
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and isinstance(choice.get("logprobs"), dict):
            taken.append((choice, choice["logprobs"]))
            choice["logprobs"] = None
    return taken


def spelled(told: object, texts: Sequence[str]) -> Json | None:
    """The log probabilities of the tokens that spell one of the texts, without alternatives; None when none do."""
    if not isinstance(told, dict):
        return None
    if isinstance(told.get("content"), list):
        return _of_content(told["content"], texts)
    return _of_tokens(told, texts) if isinstance(told.get("tokens"), list) else None


def _of_content(entries: list[Any], texts: Sequence[str]) -> Json | None:
    tokens = [entry.get("token") if isinstance(entry, dict) else None for entry in entries]
    count = _spelling(tokens, texts)
    kept = [_chosen(entry, "top_logprobs" in entry) for entry in islice(entries, count)]
    return {"content": kept} if kept and None not in kept else None


def _chosen(entry: Json, with_top: bool) -> Json | None:
    """A token that was chosen; itself is all that is left of its alternatives."""
    token, logprob, numbers = entry["token"], entry.get("logprob"), entry.get("bytes")
    if not _is_number(logprob) or (numbers is not None and numbers != list(token.encode("utf-8", "replace"))):
        return None
    kept = {"token": token, "logprob": logprob, "bytes": numbers}
    others = entry.get("top_logprobs")
    same = [kept] if isinstance(others, list) and any(_is_same(other, token) for other in others) else []
    return {**kept, "top_logprobs": same} if with_top else kept


def _is_same(other: object, token: str) -> bool:
    return isinstance(other, dict) and other.get("token") == token


def _of_tokens(told: Json, texts: Sequence[str]) -> Json | None:
    tokens, logprobs = told["tokens"], told.get("token_logprobs")
    count = _spelling(tokens, texts)
    if not count or not isinstance(logprobs, list) or len(logprobs) != len(tokens):
        return None
    if not all(value is None or _is_number(value) for value in logprobs):
        return None
    kept: Json = {"tokens": tokens[:count], "token_logprobs": logprobs[:count]}
    offsets, others = told.get("text_offset"), told.get("top_logprobs")
    if isinstance(offsets, list) and all(type(offset) is int for offset in offsets):
        kept["text_offset"] = offsets[:count]
    if isinstance(others, list) and len(others) == len(tokens):
        kept["top_logprobs"] = [_only(*pair) for pair in islice(zip(others, tokens, logprobs, strict=True), count)]
    return {name: kept.get(name) for name in told if name in (*kept, "top_logprobs", "text_offset")}


def _only(others: object, token: str, logprob: float | None) -> Json | None:
    return {token: logprob} if isinstance(others, dict) and token in others else None


def _spelling(tokens: Sequence[object], texts: Sequence[str]) -> int:
    """How many of the tokens, from the first on, spell one of the texts to its end; 0 when they do not."""
    for text in filter(None, texts):
        at = 0
        for count, token in enumerate(tokens, 1):
            if not isinstance(token, str) or not text.startswith(token, at):
                break
            at += len(token)
            if at == len(text):
                return count
    return 0


def _is_number(value: object) -> bool:
    return isinstance(value, _NUMBER) and not isinstance(value, bool)
