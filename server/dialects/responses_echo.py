"""What a response repeats of its request: it leaves only where it says just what the client said itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from server.dialects.dialect import Json
from server.dialects.responses_fields import ECHOES

_DEFAULTS: Final = frozenset({"auto", "none", "required", "text", "function", "disabled", "low", "medium", "high"})
_ADDED: Final = frozenset(
    {"type", "name", "description", "parameters", "strict", "async", "allowed_callers", "defer_loading", "format"}
    | {"output_schema", "tools", "schema", "verbosity", "context", "effort", "generate_summary", "mode", "summary"}
    | {"filters", "allowed_domains", "search_context_size", "user_location", "city", "country", "region", "timezone"}
    | {"search_content_types", "server_label", "server_url", "server_description", "connector_id", "authorization"}
    | {"allowed_tools", "headers", "require_approval", "tunnel_id", "always", "never", "tool_names", "read_only"}
    | {"container", "file_ids", "memory_limit", "network_policy", "max_num_results", "ranking_options", "ranker"}
    | {"score_threshold", "hybrid_search", "embedding_weight", "text_weight", "vector_store_ids", "version"}
    | {"variables", "id", "definition", "syntax", "prompt_cache_breakpoint"}
)
"""Fields that the model server adds where the client left them out."""
_UNSAID: Final[Mapping[str, Any]] = {"tools": [], "tool_choice": "auto"}


def keep_echoes(response: Json, given: Mapping[str, Any] | None, dropped: list[str]) -> None:
    """Put the client's own words, `given`, where the response does not repeat just those, and name these fields.

    Where the request is not known, nothing of it is repeated.
    """
    for name in ECHOES:
        told = response.get(name)
        own = given.get(name) if given is not None else None
        if told is None or repeats(told, own):
            continue
        dropped.append(name)
        response[name] = _UNSAID.get(name) if own is None else own


def repeats(told: object, own: object) -> bool:
    """True when every text in `told` stands in `own`, and so do lists of numbers, which can spell one: a server may add
    fields without text, and the usual defaults."""
    if not set(_listed(told)) <= set(_listed(own)):
        return False
    known = _DEFAULTS.union(text for text, _ in _texts(own))
    return all(text in known or (is_field and text in _ADDED) for text, is_field in _texts(told))


def _listed(value: object, inside: bool = False) -> Iterator[float]:
    """Every number that is an item of a list."""
    if isinstance(value, (int, float)) and inside:
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _listed(item)
    elif isinstance(value, list):
        for item in value:
            yield from _listed(item, True)


def _texts(value: object) -> Iterator[tuple[str, bool]]:
    """Every text in a JSON value; the second is True for the name of a field."""
    if isinstance(value, str):
        yield value, False
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key, True
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
