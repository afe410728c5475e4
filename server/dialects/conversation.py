"""The texts of a chat: what was said so far, by anyone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from server.dialects.grammars import forced_text
from server.dialects.media import MEDIA_KEYS
from server.faults import RequestRefused

QUESTION_WORDS: Final = 64
_LONGEST_QUESTION: Final = 2_000
_SUPPLIERS: Final = ("user", "tool", "function")
_DOCUMENTS: Final = "documents"
_DESCRIBED: Final = ("tools", "functions", "tool_choice", "function_call", "prediction")


@dataclass(frozen=True, slots=True)
class Conversation:
    """All texts in the order in which they were said, the last turn of each prompt, and what the user supplied."""

    texts: tuple[str, ...]
    questions: tuple[str, ...]
    supplied: tuple[str, ...]


def last_words(text: str, words: int = QUESTION_WORDS) -> str:
    """The end of a text, at most `words` words: the turn that an answer is judged together with."""
    return " ".join(text[-_LONGEST_QUESTION:].split()[-words:])


def messages_of(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages, checked as far as they are read here. Raises `RequestRefused`."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise RequestRefused("'messages' must be a list", "messages", "invalid_type")
    for n, message in enumerate(messages):
        where = f"messages[{n}]"
        if not isinstance(message, dict):
            raise RequestRefused(f"'{where}' must be an object", where, "invalid_type")
        if not isinstance(message.get("role"), str):
            raise RequestRefused(f"'{where}.role' must be a string", f"{where}.role", "invalid_type")
        content = message.get("content")
        if content is not None and not isinstance(content, (str, list)):
            problem = f"'{where}.content' must be a string or a list of parts"
            raise RequestRefused(problem, f"{where}.content", "invalid_type")
        for part in content if isinstance(content, list) else ():
            if not isinstance(part, (str, dict)):
                raise RequestRefused(f"'{where}.content' holds what is no part", f"{where}.content", "invalid_type")
    return messages


def text_of(message: Mapping[str, Any]) -> str:
    """What the content of a message says."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(strings_in(content))


def strings_in(value: object) -> Iterator[str]:
    """Every string inside a JSON value that could be read as text; links to data and short names are not."""
    waiting = [value]  # last first; no recursion: a client may nest as deep as it likes
    while waiting:
        found = waiting.pop()
        if isinstance(found, str):
            yield found
        elif isinstance(found, list):
            waiting.extend(reversed(found))
        elif isinstance(found, dict):
            waiting.extend(reversed([item for key, item in found.items() if not _is_unsaid(key, item)]))


def _is_unsaid(key: str, item: object) -> bool:
    return key in MEDIA_KEYS or (key in _NAMES and isinstance(item, str) and _NAME.fullmatch(item) is not None)


_NAMES: Final = frozenset({"type", "role", "id", "tool_call_id"})
_NAME: Final = re.compile(r"[\w.:-]{0,64}")


def conversation_of(
    body: Mapping[str, Any], messages: list[dict[str, Any]], brought: tuple[str, ...] = ()
) -> Conversation:
    """What was said so far: what options brought, tools, documents and messages, tool calls and results.

    The messages of the user and of tools, and documents, are the user's own. What the model or the operator said is
    not.
    """
    told = [(text, False) for text in brought]
    told += [(forced_text(body[name]), False) for name in _DESCRIBED if body.get(name)]
    told += [("\n".join(strings_in(body.get(_DOCUMENTS))), True)]
    told += [("\n".join(strings_in(message)), message["role"] in _SUPPLIERS) for message in messages]
    texts = tuple(text for text, _ in told if text)
    return Conversation(texts, (question_of(messages),), tuple(text for text, own in told if own and text))


def question_of(messages: list[dict[str, Any]]) -> str:
    """The last turn of the user, or the last turn of all when no user spoke; with the words that the model is made to
    go on from, where the last turn is the assistant's."""
    asked = [message for message in messages if message["role"] == "user"] or messages
    question = last_words(text_of(asked[-1])) if asked else ""
    last = messages[-1] if messages else None
    if last is None or last is asked[-1] or not is_prefix(messages):
        return question
    return last_words(f"{question}\n{last_words(text_of(last))}", 2 * QUESTION_WORDS)


def is_prefix(messages: list[dict[str, Any]]) -> bool:
    """True when the last turn is the assistant's and says something: a server may go on from it."""
    if not messages or messages[-1]["role"] != "assistant":
        return False
    return bool(text_of(messages[-1]).strip())
