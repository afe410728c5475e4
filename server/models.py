"""Which models there are, and which of them a client may use: base models, and the adapters that the operator lists.

An adapter is what upstream says is derived from another model (`parent`). The list is kept for a few seconds, so that a
request seldom asks for it; what is not on it may not be used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

import orjson

from server.dialects.fields import Each, Fields, Leaf, keep_known
from server.faults import NoSuchModel, UpstreamFault
from server.observation import UpstreamReason
from server.upstream import Ask, Upstream

MODELS: Final = "/v1/models"
EVERY: Final = "*"
"""In the place of an adapter's name: clients may ask for any model, also for one that upstream does not list."""

_KEPT_S: Final = 10.0
_FRESH_S: Final = 1.0
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
    **dict.fromkeys(("object", "created", "owned_by", "max_model_len"), _PLAIN),
    **dict.fromkeys(("id", "root", "parent"), Leaf.MODEL),
    "permission": Each(_PERMISSION),
}
_LIST: Final[Fields] = {"object": _PLAIN, "data": Each(_MODEL)}


@dataclass(frozen=True, slots=True)
class Listed:
    """The list as bytes and as objects, with only the models that may be used, and the names of dropped fields."""

    raw: bytes
    models: tuple[dict[str, Any], ...]
    dropped: tuple[str, ...] = ()


class Models:
    """The models of one upstream. `adapters` are those that clients may use; `clock` gives seconds."""

    def __init__(self, upstream: Upstream, clock: Callable[[], float], adapters: Collection[str] = ()) -> None:
        self._upstream, self._clock = upstream, clock
        self._adapters = frozenset(adapters)
        self._names: frozenset[str] = frozenset()
        self._known_at: float | None = None
        self._asking = asyncio.Lock()

    async def listed(self, request_id: str) -> Listed:
        """What upstream lists now. Raises `UpstreamFault`."""
        async with self._upstream.ask(Ask("GET", MODELS, request_id)) as answer:
            raw = await answer.whole()
        found = self._read(raw)
        self._names = frozenset(model["id"] for model in found.models)
        self._known_at = self._clock()
        return found

    async def admit(self, name: str, request_id: str) -> None:
        """Raise `NoSuchModel` unless clients may use the model of that name; without one, upstream takes its own.

        Raises `UpstreamFault` when that cannot be told.
        """
        if not name or EVERY in self._adapters or self._knows(name, _KEPT_S):
            return
        async with self._asking:  # one question for all who wait
            if not self._knows(name, _KEPT_S) and not self._is_younger(_FRESH_S):
                await self.listed(request_id)
        if name not in self._names:
            raise NoSuchModel

    def _knows(self, name: str, age_s: float) -> bool:
        return name in self._names and self._is_younger(age_s)

    def _is_younger(self, age_s: float) -> bool:
        return self._known_at is not None and self._clock() - self._known_at < age_s

    def _read(self, raw: bytes) -> Listed:
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            body = None
        if not isinstance(body, dict) or not isinstance(body.get("data"), list):
            raise UpstreamFault(UpstreamReason.PROTOCOL, "the model server's answer cannot be read")
        dropped: list[str] = []
        changed = keep_known(body, _LIST, dropped)
        usable = [model for model in body["data"] if self._is_usable(model)]
        if changed or len(usable) < len(body["data"]):
            raw = orjson.dumps({**body, "data": usable})
        return Listed(raw, tuple(usable), tuple(dropped))

    def _is_usable(self, model: dict[str, Any]) -> bool:
        name = model.get("id")
        return isinstance(name, str) and (not model.get("parent") or bool(self._adapters & {name, EVERY}))
