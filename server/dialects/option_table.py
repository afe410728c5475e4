"""The request options that reveal or force text, what is done with each, and what the operator may do instead.

An option is named once here, whatever dialects know it; a dialect picks its own with `options_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class Treatment(StrEnum):
    """What is done with an option that would take effect."""

    STRIP = "strip"  # taken out: the client gets its answer without it
    REFUSE = "refuse"  # the client would rely on something that it does not get
    GUARD = "guard"  # stays; the text that it brings is judged like the prompt, what it makes the model say as ever
    PASS = "pass"  # noqa: S105  # a word; such an option stays, and nobody can read what it brings


def asks(value: object) -> bool:
    """True for a value that asks for something."""
    return value is not None and value is not False


def is_set(value: object) -> bool:
    """True for anything that is not empty, zero or false."""
    return bool(value)


def denies(value: object) -> bool:
    """True where the usual `true` was changed."""
    return value is not None and value is not True


STRIP, REFUSE, GUARD, PASS = Treatment.STRIP, Treatment.REFUSE, Treatment.GUARD, Treatment.PASS
_TAKEN: Final = (STRIP, REFUSE)
_JUDGED: Final = (STRIP, REFUSE, GUARD)
_TRUSTED: Final = (STRIP, REFUSE, PASS)


@dataclass(frozen=True, slots=True)
class Option:
    """An option with what is done when `takes_effect` says so of its value.

    `allowed` are the treatments that it may have; `why` says in half a sentence what it does and why the default is
    what it is.
    """

    treatment: Treatment
    takes_effect: Callable[[object], bool]
    allowed: tuple[Treatment, ...] = _TAKEN
    why: str = ""


Options = Mapping[str, Option]


def _reveals(why: str, allowed: tuple[Treatment, ...] = _TAKEN) -> Option:
    return Option(STRIP, asks, allowed, why)


def _forbidden(why: str, allowed: tuple[Treatment, ...] = _TAKEN) -> Option:
    return Option(REFUSE, is_set, allowed, why)


def _judged(why: str) -> Option:
    return Option(GUARD, is_set, _JUDGED, why)


_TOKENS: Final = "shows tokens by number, which no channel reads"
_GRAMMAR: Final = "a grammar is text that the client forces: its strings are judged like the prompt"
_RENDER: Final = "means nothing for an answer"
_UNREADABLE: Final = "what cannot be read cannot be judged"

OPTIONS: Final[Options] = {
    # -- what an answer shows --
    "logprobs": _reveals(
        "shows tokens; guarded, those of the chosen tokens leave where they spell just the released text", _JUDGED
    ),
    "top_logprobs": _reveals("shows what was not said: alternatives spell text of their own; they never leave"),
    "prompt_logprobs": _reveals("shows what the model would have said in place of the prompt"),
    "logprob_token_ids": _reveals("shows how likely any chosen token was: a question that no channel reads"),
    "return_token_ids": _reveals(_TOKENS),
    "return_tokens_as_token_ids": _reveals(_TOKENS),
    "return_token_offsets": _reveals(_TOKENS),
    "return_prompt_text": _reveals("shows the prompt with everything that the server added to it"),
    "routed_experts_prompt_start": Option(STRIP, is_set, _TAKEN, "shows how tokens were computed"),
    "echo": _forbidden("makes the answer repeat the prompt; guarded, it is judged as answer", _JUDGED),
    # -- what chooses tokens in the model's place --
    "logit_bias": Option(GUARD, is_set, _JUDGED, "pushes the model to tokens; what it says then is judged as ever"),
    "allowed_token_ids": _forbidden("spells an answer token by token; guarded, only the answer is judged", _JUDGED),
    "logits_processors": _forbidden("runs code of the model server's"),
    "use_beam_search": _forbidden("searches for the likeliest text instead of speaking", _JUDGED),
    "best_of": _judged("answers that were given up are never shown; the others are judged as ever"),
    "bad_words": _judged("drives the model to other words; these and the answer are judged"),
    "vllm_xargs": _forbidden("reaches extensions that nobody here knows", _TRUSTED),
    # -- when it stops --
    "stop": _judged("a stop string completes what was said before it: judged like the prompt, and where it is told"),
    "stop_token_ids": _forbidden("the answer tells by number which token came next", _TRUSTED),
    "include_stop_str_in_output": _judged("the stop string is then said, and judged with the answer"),
    "min_tokens": _judged("makes the model go on: what it says is judged as ever"),
    "ignore_eos": _judged("makes the model go on: what it says is judged as ever"),
    # -- grammars --
    "response_format": _judged(_GRAMMAR),
    "structured_outputs": _judged(_GRAMMAR),
    "guided_json": _judged(_GRAMMAR),
    "guided_regex": _judged(_GRAMMAR),
    "guided_choice": _judged(_GRAMMAR),
    "guided_grammar": _judged(_GRAMMAR),
    "guided_json_object": _judged(_GRAMMAR),
    "guided_decoding_backend": _judged(_GRAMMAR),
    "guided_whitespace_pattern": _judged(_GRAMMAR),
    # -- words in the model's mouth --
    "chat_template": _forbidden("a program that writes the prompt; " + _UNREADABLE, _TRUSTED),
    "chat_template_kwargs": _judged("what a template may write into the prompt is judged like it"),
    "continue_final_message": _forbidden(
        "puts words into the model's mouth; guarded, the answer is judged together with them", _JUDGED
    ),
    "add_generation_prompt": Option(
        REFUSE, denies, _JUDGED, "lets the model go on as another speaker; guarded, the answer is judged as ever"
    ),
    "assistant_prefix": _judged(
        "a last message of the assistant, which some servers go on from unasked: judged with what follows it"
    ),
    "documents": _judged("text that a template puts before the question: judged like the prompt"),
    # -- what cannot be read --
    "prompt_embeds": _forbidden("a question as numbers: " + _UNREADABLE, _TRUSTED),
    "token_prompts": _forbidden("a question as token numbers: " + _UNREADABLE, (REFUSE, PASS)),
    "images": _forbidden("parts of a message that are pictures: " + _UNREADABLE, _TRUSTED),
    "audio": _forbidden("parts of a message that are sound: " + _UNREADABLE, _TRUSTED),
    "video": _forbidden("parts of a message that are film: " + _UNREADABLE, _TRUSTED),
    "files": _forbidden("parts of a message that are files: " + _UNREADABLE, _TRUSTED),
    "media_io_kwargs": _forbidden("changes how media are read", _TRUSTED),
    "mm_processor_kwargs": _forbidden("changes how media are read", _TRUSTED),
    # -- other requests --
    "previous_input_messages": _forbidden(
        "a conversation in the model's own form, which it goes on from; guarded, its texts are judged like the prompt",
        _JUDGED,
    ),
    "enable_response_messages": _reveals("shows the prompt and the answer as tokens, which no channel reads"),
    "kv_transfer_params": _forbidden("moves state of other requests, and may hold another prompt"),
    "ec_transfer_params": _forbidden("moves state of other requests"),
    "priority": Option(STRIP, is_set, _TRUSTED, "lets a client overtake the others"),
    "cache_salt": Option(PASS, is_set, _TRUSTED, "keeps the prompt apart from others in the cache; no model reads it"),
    "request_id": Option(STRIP, is_set, _TAKEN, "names the request in the model server: ours is used"),
    "session_id": Option(STRIP, is_set, _TRUSTED, "joins requests in the model server"),
    "mm_payload": Option(STRIP, is_set, _TAKEN, _RENDER),
    "return_mm_kwargs": Option(STRIP, asks, _TAKEN, _RENDER),
}


def options_of(*names: str) -> Options:
    """The options with these names, with their defaults."""
    return {name: OPTIONS[name] for name in names}


class TreatmentInvalid(ValueError):
    """The operator named an option that does not exist, or a treatment that it cannot have."""


@dataclass(frozen=True, slots=True)
class Surface:
    """What the operator lets requests ask for: treatments that differ from the defaults, and what is done with fields
    that no list names (`STRIP` or `REFUSE`)."""

    changed: Mapping[str, Treatment]
    unknown: Treatment = STRIP

    def options(self, table: Options) -> Options:
        """A dialect's options as the operator wants them treated."""
        return {
            name: replace(option, treatment=self.changed[name]) if name in self.changed else option
            for name, option in table.items()
        }

    def treatment(self, name: str) -> Treatment:
        """What is done with the option of this name."""
        return self.changed.get(name, OPTIONS[name].treatment)

    def allows(self, name: str) -> bool:
        """True where the option stays in a request."""
        return self.treatment(name) in (GUARD, PASS)


USUAL: Final = Surface({})
"""Every option treated by its default."""


def parse_treatments(told: str) -> dict[str, Treatment]:
    """Treatments from `option=treatment,…`. Raises `TreatmentInvalid`."""
    changed: dict[str, Treatment] = {}
    for item in filter(None, (part.strip() for part in told.split(","))):
        name, _, wanted = (part.strip() for part in item.partition("="))
        option = OPTIONS.get(name)
        if option is None:
            raise TreatmentInvalid(f"there is no request option {name!r}")
        if wanted not in [treatment.value for treatment in option.allowed]:
            raise TreatmentInvalid(f"{name} can be treated as {', '.join(option.allowed)}, not as {wanted!r}")
        changed[name] = Treatment(wanted)
    return changed
