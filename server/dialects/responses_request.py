"""Reads a request for a response: what was said so far, and what must not be asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from server.dialects.conversation import QUESTION_WORDS, Conversation, last_words, strings_in, text_of
from server.dialects.dialect import Json
from server.dialects.grammars import forced_text
from server.dialects.media import medium_of
from server.dialects.option_table import (
    OPTIONS,
    PASS,
    REFUSE,
    STRIP,
    Options,
    Surface,
    is_set,
    options_of,
)
from server.dialects.options import (
    TEMPLATE_OPTIONS,
    apply_options,
    drop_unknown,
    name,
    not_allowed,
    option_texts,
    section,
)
from server.dialects.request_fields import RequestFields
from server.faults import RequestRefused
from server.structured import Structured, structured_of, structured_of_format

_CONTINUED: Final = "continue_final_message"
_FORMAT: Final = "response_format"
_LOGPROBS: Final = "message.output_text.logprobs"
_DESCRIBED: Final = ("tools", "tool_choice", "prompt")
_SUPPLIERS: Final = ("user", "tool")
_OUTPUT: Final = "_output"
_UNSAID: Final = frozenset({"status", "annotations", "logprobs", "call_id"})
_UNFINISHED: Final = ("in_progress", "incomplete")
_CONTINUABLE: Final = ("message", "reasoning")
_HOLDERS: Final = ("content", "output")


def _forces(text: object) -> bool:
    """True when the shape of the answer is asked for."""
    told = text.get("format") if isinstance(text, dict) else text
    return told is not None and not (isinstance(told, dict) and told.get("type") == "text")


RESPONSES_OPTIONS: Final[Options] = {
    **options_of("logit_bias", "allowed_token_ids", "logits_processors", "use_beam_search"),
    **options_of("bad_words", "vllm_xargs", "stop", "stop_token_ids", "include_stop_str_in_output", "min_tokens"),
    **options_of("ignore_eos", "structured_outputs", "chat_template", "chat_template_kwargs", _CONTINUED),
    **options_of("add_generation_prompt", "media_io_kwargs", "mm_processor_kwargs", "kv_transfer_params"),
    **options_of("ec_transfer_params", "priority", "cache_salt", "request_id", "session_id", "mm_payload"),
    **options_of("return_mm_kwargs", "enable_response_messages", "previous_input_messages"),
    "text": replace(OPTIONS[_FORMAT], takes_effect=_forces),
    "top_logprobs": replace(OPTIONS["top_logprobs"], takes_effect=is_set),
}
RESPONSES_REQUEST: Final = RequestFields(
    frozenset(
        {"model", "stream", "stream_options", "background", "store", "previous_response_id", "include", "metadata"}
        | {"max_output_tokens", "max_tool_calls", "parallel_tool_calls", "temperature", "top_p", "top_k", "min_p"}
        | {"presence_penalty", "frequency_penalty", "repetition_penalty", "reasoning", "include_reasoning", "seed"}
        | {"service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "skip_special_tokens"}
        | {"prompt_cache_options", "watermarking", "truncation", "user"}
    ),
    frozenset({"input", "instructions", *_DESCRIBED}),
    RESPONSES_OPTIONS,
)


def read_input(body: Json) -> list[Json]:
    """The items of the input, checked as far as they are read here. Raises `RequestRefused`."""
    given = body.get("input")
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list):
        raise RequestRefused("'input' must be a string or a list of items", "input", "invalid_type")
    for n, item in enumerate(given):
        if not isinstance(item, dict):
            raise RequestRefused(f"'input[{n}]' must be an object", f"input[{n}]", "invalid_type")
    return given


def options_for(surface: Surface) -> Options:
    """The options as the operator wants them treated; the shape of an answer has another name in other APIs."""
    options = surface.options(RESPONSES_OPTIONS)
    return {**options, "text": replace(options["text"], treatment=surface.treatment(_FORMAT))}


def apply_surface(body: Json, items: list[Json], surface: Surface) -> tuple[str, ...]:
    """Take out of a request what is stripped, in place, and name it. Raises `RequestRefused`."""
    stripped = {*drop_unknown(body, RESPONSES_REQUEST.names, surface), *apply_options(body, options_for(surface))}
    apply_options(dict(section(body, "chat_template_kwargs")), surface.options(TEMPLATE_OPTIONS))
    stripped.update(_take_logprobs(body, surface))
    stripped.update(_take_unfinished(items, surface))
    stripped.update(_take_media(items, surface))
    return tuple(sorted(stripped))


def shape_of(body: Json) -> Structured | None:
    """The shape that an answer must have; None for free text."""
    return structured_of_format(section(section(body, "text"), "format")) or structured_of(body)


def _take_logprobs(body: Json, surface: Surface) -> Iterator[str]:
    include = body.get("include")
    if isinstance(include, list) and _LOGPROBS in include:
        if surface.treatment("logprobs") is REFUSE:
            raise not_allowed(_LOGPROBS, "include")
        body["include"] = [entry for entry in include if entry != _LOGPROBS]
        yield "include"


def _take_unfinished(items: list[Json], surface: Surface) -> Iterator[str]:
    """A last item that was not finished is one that the model would go on from."""
    last = items[-1] if items else {}
    if last.get("type", "message") in _CONTINUABLE and last.get("status") in _UNFINISHED:
        treatment = surface.treatment(_CONTINUED)
        if treatment is REFUSE:
            raise not_allowed(_CONTINUED, f"input[{len(items) - 1}].status")
        if treatment is STRIP:
            last["status"] = "completed"
            yield _CONTINUED


def _take_media(items: list[Json], surface: Surface) -> Iterator[str]:
    for n, item in enumerate(items):
        for key in _HOLDERS:
            parts = item.get(key)
            if not isinstance(parts, list):
                continue
            out = set(_unreadable(parts, surface, f"input[{n}].{key}"))
            if out:
                item[key] = [part for part in parts if not isinstance(part, dict) or medium_of(part) not in out]
                yield from out


def _unreadable(parts: list[Any], surface: Surface, where: str) -> Iterator[str]:
    for n, part in enumerate(parts):
        option = medium_of(part) if isinstance(part, dict) else None
        treatment = surface.treatment(option) if option is not None else PASS
        if option is not None and treatment is STRIP:
            yield option
        elif option is not None and treatment is not PASS:
            raise not_allowed(option, f"{where}[{n}]")


def conversation_of(body: Json, items: list[Json], surface: Surface, follows: bool) -> Conversation:
    """What was said so far: what options bring, tools, instructions, items.

    `follows`: it goes on from a response that the model server keeps. What was said there is not known here, so
    nothing counts as the user's own.
    """
    told = [(text, False) for text in option_texts(body, options_for(surface))]
    told += [(forced_text(body[key]), False) for key in _DESCRIBED if body.get(key)]
    told.append((name(body, "instructions"), False))
    told += [("\n".join(_strings_of(item)), _is_supplied(item)) for item in items]
    texts = tuple(text for text, _ in told if text)
    supplied = () if follows else tuple(text for text, own in told if own and text)
    return Conversation(texts, (_question_of(items),), supplied)


def _strings_of(item: Json) -> Iterator[str]:
    yield from strings_in({key: value for key, value in item.items() if key not in _UNSAID})


def _is_supplied(item: Json) -> bool:
    return item.get("role") in _SUPPLIERS or str(item.get("type")).endswith(_OUTPUT)


def _question_of(items: list[Json]) -> str:
    """The last turn of the user, or the last item where no user spoke; with the words that the model may go on from."""
    asked = [item for item in items if item.get("role") == "user"] or items[-1:]
    if not asked:
        return ""
    question = last_words(text_of(asked[-1]) or "\n".join(_strings_of(asked[-1])))
    last = items[-1]
    if last is asked[-1] or last.get("role") != "assistant" or not text_of(last).strip():
        return question
    return last_words(f"{question}\n{last_words(text_of(last))}", 2 * QUESTION_WORDS)
