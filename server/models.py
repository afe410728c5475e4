"""The list of models, with only the fields that are known."""

from __future__ import annotations

from typing import Any, Final

import orjson

from server.dialects.fields import Each, Fields, Leaf, keep_known
from server.faults import UpstreamFault
from server.observation import UpstreamReason
from server.upstream import Ask, Upstream

MODELS: Final = "/v1/models"
_PLAIN: Final = Leaf.PLAIN
_PERMISSION: Final[Fields] = dict.fromkeys(
    (
        *("id", "object", "created", "organization", "group", "is_blocking"),
        *("allow_create_engine", "allow_sampling", "allow_logprobs", "allow_search_indices", "allow_view"),
        "allow_fine_tuning",
    ),
    _PLAIN,
)
_MODEL: Final[Fields] = {
    **dict.fromkeys(("id", "object", "created", "owned_by", "root", "parent", "max_model_len"), _PLAIN),
    "permission": Each(_PERMISSION),
}
_LIST: Final[Fields] = {"object": _PLAIN, "data": Each(_MODEL)}


async def list_models(upstream: Upstream, request_id: str) -> tuple[bytes, list[dict[str, Any]], list[str]]:
    """The list as bytes and as objects, and the names of what was dropped. Raises `UpstreamFault`."""
    async with upstream.ask(Ask("GET", MODELS, request_id)) as answer:
        raw = await answer.whole()
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict) or not isinstance(body.get("data"), list):
        raise UpstreamFault(UpstreamReason.PROTOCOL, "the model server's answer cannot be read")
    dropped: list[str] = []
    if keep_known(body, _LIST, dropped):
        raw = orjson.dumps(body)
    return raw, body["data"], dropped
