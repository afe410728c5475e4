"""The closed list of request fields of the dialects with choices: plain, text, or an option.

A field that stands in no list is taken out of the request, or the request is refused, as the operator says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from server.dialects.option_table import Options
from server.dialects.options import CHAT_OPTIONS, COMMON_OPTIONS


@dataclass(frozen=True, slots=True)
class RequestFields:
    """`plain` fields hold numbers, names, or what no model reads; `texts` are judged with the conversation."""

    plain: frozenset[str]
    texts: frozenset[str]
    options: Options

    @property
    def names(self) -> frozenset[str]:
        """Every field that is known."""
        return self.plain | self.texts | self.options.keys()


_SAMPLING: Final = frozenset(
    {"model", "max_tokens", "n", "seed", "stream", "stream_options", "temperature", "top_p", "top_k", "min_p"}
    | {"frequency_penalty", "presence_penalty", "repetition_penalty", "length_penalty", "repetition_detection"}
    | {"skip_special_tokens", "spaces_between_special_tokens", "add_special_tokens", "early_stopping"}
    | {"truncate_prompt_tokens", "truncation_side", "thinking_token_budget", "stream_interval", "watermarking"}
)
_ABOUT: Final = frozenset(
    {"user", "safety_identifier", "metadata", "store", "service_tier"}
    | {"prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"}
)
_CHAT: Final = frozenset(
    {"max_completion_tokens", "parallel_tool_calls", "reasoning_effort", "verbosity", "include_reasoning", "modalities"}
)
CHAT_REQUEST: Final = RequestFields(
    _SAMPLING | _ABOUT | _CHAT,
    frozenset({"messages", "tools", "tool_choice", "functions", "function_call", "prediction"}),
    CHAT_OPTIONS,
)
COMPLETIONS_REQUEST: Final = RequestFields(_SAMPLING | _ABOUT, frozenset({"prompt", "suffix"}), COMMON_OPTIONS)
REQUEST_FIELDS: Final = {"chat": CHAT_REQUEST, "completions": COMPLETIONS_REQUEST}
"""By the name of the dialect."""
