"""The known fields around a choice: what every answer of the dialects with `choices` is wrapped in."""

from __future__ import annotations

from typing import Final

from server.dialects.fields import Each, Fields, Leaf

HEAD: Final = ("id", "object", "created", "model")
"""The fields that every event of one answer repeats."""

_PLAIN, _WITHHELD = Leaf.PLAIN, Leaf.WITHHELD
_USAGE: Final[Fields] = {
    "prompt_tokens": _PLAIN,
    "completion_tokens": _PLAIN,
    "total_tokens": _PLAIN,
    "prompt_tokens_details": {
        "cached_tokens": _PLAIN,
        "created_cache_tokens": _PLAIN,
        "audio_tokens": _PLAIN,
        "multimodal_tokens": {"image": _PLAIN, "audio": _PLAIN, "video": _PLAIN},
    },
    "completion_tokens_details": {
        "reasoning_tokens": _PLAIN,
        "audio_tokens": _PLAIN,
        "accepted_prediction_tokens": _PLAIN,
        "rejected_prediction_tokens": _PLAIN,
    },
}
_METRICS: Final[Fields] = {
    "time_to_first_token_ms": _PLAIN,
    "generation_time_ms": _PLAIN,
    "queue_time_ms": _PLAIN,
    "mean_itl_ms": _PLAIN,
    "tokens_per_second": _PLAIN,
    "speculative_decoding": _WITHHELD,
}
_CHOICE: Final[Fields] = {
    "index": _PLAIN,
    "finish_reason": _PLAIN,
    "stop_reason": Leaf.TEXT_OR_NUMBER,
    "logprobs": _WITHHELD,
    "token_ids": _WITHHELD,
    "prompt_token_ids": _WITHHELD,
    "prompt_logprobs": _WITHHELD,
    "routed_experts": _WITHHELD,
}


def envelope(choice: Fields) -> Fields:
    """The known fields of an answer or event whose choices have these fields."""
    plain = dict.fromkeys((*HEAD, "system_fingerprint", "service_tier"), _PLAIN)
    withheld = ("prompt_logprobs", "prompt_token_ids", "prompt_text", "kv_transfer_params", "ec_transfer_params")
    return {
        **plain,
        "model": Leaf.MODEL,
        **dict.fromkeys(withheld, _WITHHELD),
        "choices": Each({**_CHOICE, **choice}),
        "usage": _USAGE,
        "metrics": _METRICS,
    }
