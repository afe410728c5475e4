"""Request options that reveal or force text: what is taken out, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

import orjson

from server.faults import RequestRefused


class Treatment(Enum):
    """What is done with an option that would take effect."""

    STRIP = auto()  # the answer merely says more than it must: the client gets it without
    REFUSE = auto()  # the client would rely on something that it does not get


def _asks(value: object) -> bool:
    return value is not None and value is not False


def _is_set(value: object) -> bool:
    return bool(value)


def _denies(value: object) -> bool:
    return value is not None and value is not True


@dataclass(frozen=True, slots=True)
class Option:
    """An option with what is done when `takes_effect` says so of its value."""

    treatment: Treatment
    takes_effect: Callable[[object], bool]


_STRIP: Final = Option(Treatment.STRIP, _asks)
_REFUSE: Final = Option(Treatment.REFUSE, _is_set)
_REFUSE_FALSE: Final = Option(Treatment.REFUSE, _denies)

Options = Mapping[str, Option]

COMMON_OPTIONS: Final[Options] = {
    # shows tokens, or alternatives that no channel guards
    "logprobs": _STRIP,
    "top_logprobs": _STRIP,
    "prompt_logprobs": _STRIP,
    "logprob_token_ids": _STRIP,
    "return_token_ids": _STRIP,
    "return_tokens_as_token_ids": _STRIP,
    "return_token_offsets": _STRIP,
    "return_prompt_text": _STRIP,
    # makes the answer repeat the prompt
    "echo": _REFUSE,
    # chooses tokens past the model's own choice, where it cannot be told from speech
    "use_beam_search": _REFUSE,
    "allowed_token_ids": _REFUSE,
    "logits_processors": _REFUSE,
    "vllm_xargs": _REFUSE,
    # moves state of other requests
    "kv_transfer_params": _REFUSE,
    "ec_transfer_params": _REFUSE,
    # a question that cannot be read
    "prompt_embeds": _REFUSE,
}
CHAT_OPTIONS: Final[Options] = {
    **COMMON_OPTIONS,
    # puts words into the model's mouth
    "chat_template": _REFUSE,
    "continue_final_message": _REFUSE,
    "add_generation_prompt": _REFUSE_FALSE,
}
TEMPLATE_OPTIONS: Final[Options] = {
    "chat_template": _REFUSE,
    "tokenize": _REFUSE,
    "continue_final_message": _REFUSE,
    "add_generation_prompt": _REFUSE_FALSE,
}


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a request body. Raises `RequestRefused`, without repeating what was sent."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise RequestRefused("the body is not valid JSON in UTF-8", code="invalid_json") from None
    if not isinstance(value, dict):
        raise RequestRefused("the body must be a JSON object", code="invalid_json")
    return value


def apply_options(body: dict[str, Any], options: Options) -> tuple[str, ...]:
    """Take out what is stripped, in place, and name it. Raises `RequestRefused`."""
    stripped = []
    for name in body.keys() & options.keys():
        option = options[name]
        if not option.takes_effect(body[name]):
            continue
        if option.treatment is Treatment.REFUSE:
            raise RequestRefused(f"'{name}' is not allowed through this server", name, "option_not_allowed")
        del body[name]
        stripped.append(name)
    return tuple(sorted(stripped))


def flag(body: Mapping[str, Any], name: str, where: str = "") -> bool:
    """A truth value that may be missing or null. Raises `RequestRefused`."""
    value = body.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise RequestRefused(f"'{where}{name}' must be true or false", where + name, "invalid_type")


def count(body: Mapping[str, Any], name: str, most: int) -> int:
    """A number from 1 to `most`; 1 when missing or null. Raises `RequestRefused`."""
    value = body.get(name)
    if value is None:
        return 1
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise RequestRefused(f"'{name}' must be a whole number from 1 to {most}", name, "invalid_type")
    return value


def name(body: Mapping[str, Any], field: str) -> str:
    """A string that may be missing or null. Raises `RequestRefused`."""
    value = body.get(field)
    if value is None or isinstance(value, str):
        return value or ""
    raise RequestRefused(f"'{field}' must be a string", field, "invalid_type")


def section(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object that may be missing or null. Raises `RequestRefused`."""
    value = body.get(name)
    if value is None or isinstance(value, dict):
        return value or {}
    raise RequestRefused(f"'{name}' must be an object", name, "invalid_type")
