"""What a model server may offer to whoever reaches it: vLLM's paths, what each lets an outsider do, and the remedy.

Drawn up from the routers of vLLM 0.32. Its `--api-key` guards `KEYED` only; everything else answers anyone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class Severity(StrEnum):
    """How bad it is when anyone may."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path of the model server. `lets`: what it lets its caller do. `off`: how the model server does without it.

    `administers`: worth telling also when it asks for the key. `listed`: its route exists switched off as well, and
    only the server's own schema tells which.
    """

    path: str
    lets: str
    severity: Severity
    method: str = "POST"
    off: str = ""
    administers: bool = False
    listed: bool = False


KEYED: Final = ("/v1", "/v2", "/inference", "/cohere")
"""Prefixes of the paths that vLLM's key guards."""

_DEVELOPMENT: Final = "unset VLLM_SERVER_DEV_MODE"
_SCALE_OUT: Final = "start it without --enable-scale-out"
_LORA: Final = "unset VLLM_ALLOW_RUNTIME_LORA_UPDATING unless Lethe loads adapters"
_PROFILER: Final = "start it without --profiler-config"
_DOCUMENTED: Final = "start it with --disable-fastapi-docs"
_TOKENIZER: Final = "start it without --enable-tokenizer-info-endpoint"
_FAULTS: Final = "start it without --enable-fault-tolerance"
_ABORTS: Final = "ends other people's answers"
_RENDERS: Final = "turns requests into tokens and tokens into answers"
_SPEAKS: Final = "lets the model speak past Lethe"
_SCORES: Final = "asks the model about texts past Lethe, which tells what it remembers"


def _all(template: Endpoint, *more: str) -> tuple[Endpoint, ...]:
    """The same of several paths."""
    return (template, *(replace(template, path=path) for path in more))


ENDPOINTS: Final = (
    *_all(
        Endpoint("/v1/chat/completions", _SPEAKS, Severity.CRITICAL),
        *("/v1/chat/completions/batch", "/v1/completions", "/v1/responses", "/v1/messages", "/v1/systemone"),
        *("/cohere/v2/chat", "/invocations"),
    ),
    Endpoint("/inference/v1/generate", _SPEAKS, Severity.CRITICAL, off=_SCALE_OUT, listed=True),
    *_all(
        Endpoint("/v1/audio/transcriptions", "has the model write down speech past Lethe", Severity.HIGH),
        "/v1/audio/translations",
    ),
    *_all(
        Endpoint("/generative_scoring", _SCORES, Severity.HIGH),
        *("/v1/embeddings", "/v2/embed", "/pooling", "/classify", "/score", "/v1/score"),
        *("/rerank", "/v1/rerank", "/v2/rerank"),
    ),
    *_all(
        Endpoint("/tokenize", "shows how prompts become tokens, and tokens text", Severity.MEDIUM),
        *("/detokenize", "/v1/messages/count_tokens"),
    ),
    Endpoint("/tokenizer_info", "shows the chat template", Severity.MEDIUM, method="GET", off=_TOKENIZER),
    *_all(
        Endpoint("/v1/chat/completions/render", _RENDERS, Severity.MEDIUM, off=_SCALE_OUT, listed=True),
        *("/v1/completions/render", "/v1/messages/render", "/v1/responses/render"),
        *("/v1/chat/completions/derender", "/v1/completions/derender"),
    ),
    Endpoint("/abort_requests", _ABORTS, Severity.HIGH, off=_DEVELOPMENT, administers=True),
    Endpoint("/inference/v1/abort_requests", _ABORTS, Severity.HIGH, off=_SCALE_OUT, administers=True, listed=True),
    *_all(
        Endpoint("/v1/load_lora_adapter", "loads and unloads adapters", Severity.CRITICAL, off=_LORA, administers=True),
        *("/v1/unload_lora_adapter", "/adapters"),
    ),
    Endpoint("/collective_rpc", "runs methods of its workers", Severity.CRITICAL, off=_DEVELOPMENT, administers=True),
    *_all(
        Endpoint("/update_weights", "replaces its weights", Severity.CRITICAL, off=_DEVELOPMENT, administers=True),
        *("/init_weight_transfer_engine", "/shutdown_weight_transfer_engine", "/start_weight_update"),
        *("/start_draft_weight_update", "/finish_weight_update", "/update_weight_version", "/weight_checker"),
    ),
    *_all(
        Endpoint("/pause", "stops and starts the serving", Severity.HIGH, off=_DEVELOPMENT, administers=True),
        *("/resume", "/sleep", "/wake_up", "/release_kv_cache_memory"),
    ),
    *_all(
        Endpoint("/reset_prefix_cache", "empties its caches", Severity.HIGH, off=_DEVELOPMENT, administers=True),
        *("/reset_mm_cache", "/reset_encoder_cache"),
    ),
    *_all(
        Endpoint("/start_profile", "records what the model computes", Severity.HIGH, off=_PROFILER, administers=True),
        "/stop_profile",
    ),
    Endpoint("/scale_elastic_ep", "changes how many engines serve", Severity.HIGH, administers=True),
    Endpoint("/is_scaling_elastic_ep", "shows whether it changes that now", Severity.LOW),
    Endpoint("/fault_tolerance/apply", "changes how it meets faults", Severity.HIGH, off=_FAULTS, administers=True),
    *_all(
        Endpoint("/server_info", "shows its settings and its machine", Severity.MEDIUM, method="GET", off=_DEVELOPMENT),
        *("/weight_info", "/get_world_size", "/is_sleeping", "/is_paused"),
    ),
    *_all(
        Endpoint("/metrics", "shows what it has to do", Severity.LOW, method="GET"),
        *("/load", "/version", "/kv_event_sources", "/fault_tolerance/status"),
    ),
    Endpoint("/v1/models", "lists models and adapters", Severity.LOW, method="GET"),
    *_all(
        Endpoint("/openapi.json", "describes its calls", Severity.LOW, method="GET", off=_DOCUMENTED),
        *("/docs", "/redoc"),
    ),
)

HARMLESS: Final = frozenset(
    {"/health", "/ping", "/v1/responses/{response_id}", "/v1/responses/{response_id}/cancel"}
    | {"/adapters/{adapter_name}", "/docs/oauth2-redirect"}
)
"""Paths that are no finding of their own: they tell nothing, or come with one that is."""
