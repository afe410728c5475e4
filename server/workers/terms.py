"""The terms on which a worker works: what the supervisor tells it once, privately, at its start."""

from __future__ import annotations

from dataclasses import dataclass

import orjson
from pydantic import SecretStr

from server.settings import Settings


@dataclass(frozen=True, slots=True, repr=False)
class Terms:
    """`slot` counts the workers of a server from 1. `generated_key` is what another worker made up. Its repr shows
    nothing."""

    settings: Settings
    slot: int
    leads: bool
    generated_key: str | None = None

    def __repr__(self) -> str:
        return f"Terms(slot={self.slot})"

    def packed(self) -> bytes:
        """As bytes for the link: with the secrets, so nowhere else."""
        given = {name: getattr(self.settings, name) for name in self.settings.model_fields_set}
        plain = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in given.items()
        }
        terms = {"settings": plain, "slot": self.slot, "leads": self.leads, "generated_key": self.generated_key}
        return orjson.dumps(terms, default=str)


def terms_of(body: bytes) -> Terms:
    """Reads what `Terms.packed` wrote."""
    read = orjson.loads(body)
    return Terms(Settings.model_validate(read["settings"]), read["slot"], read["leads"], read["generated_key"])


def share_of(settings: Settings, slot: int) -> Settings:
    """The settings of one worker: its own name among the replicas, and its share of what a server may do at once.

    Shares are rounded up, so that no worker is left with nothing.
    """
    count = settings.workers
    limits = ("max_concurrency", "judge_calls_per_minute", "judge_parallel_calls")
    shares = {name: -(-int(getattr(settings, name)) // count) for name in limits}
    return settings.model_copy(update={"replica_name": f"{settings.replica_name}/{slot}", **shares})
