"""What can go wrong with the forget index, and whose fault it is. No message ever holds forget text."""

from __future__ import annotations


class IndexFault(Exception):
    """Root of everything that `index` raises on purpose."""


class EntryRefused(IndexFault):
    """The caller's entry cannot be kept as it is (empty, too broad, too large): the caller can mend it.

    `position` counts from 0 in a batch.
    """

    def __init__(self, reason: str, position: int | None = None) -> None:
        super().__init__(reason if position is None else f"entry {position}: {reason}")
        self.reason, self.position = reason, position


class EntryUnknown(IndexFault):
    """The caller named an entry that this namespace does not hold."""

    def __init__(self, entry_id: str) -> None:
        super().__init__(f"there is no entry {entry_id} in this namespace")
        self.entry_id = entry_id


class PolicyUnknown(IndexFault):
    """The caller named a policy that this namespace does not hold."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no policy {name} in this namespace")
        self.name = name


class JobUnknown(IndexFault):
    """The caller named a job that does not exist."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id}")
        self.job_id = job_id


class KeyUnknown(IndexFault):
    """The caller named an access key that does not exist."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"there is no access key {key_id}")
        self.key_id = key_id


class DecisionUnknown(IndexFault):
    """The caller named a decision that does not exist (or is no longer kept)."""

    def __init__(self, decision_id: str) -> None:
        super().__init__(f"there is no decision {decision_id}")
        self.decision_id = decision_id


class Conflict(IndexFault):
    """The caller's write met another write to the same thing: reading again and repeating it helps."""


class EntrySealed(Conflict):
    """The caller asked for the text of an entry that keeps none."""

    def __init__(self, entry_id: str) -> None:
        super().__init__(f"entry {entry_id} is sealed and keeps no text: remove it and add it again to change its text")
        self.entry_id = entry_id


class IdempotencyMismatch(Conflict):
    """The caller used one idempotency key for two different bodies."""

    def __init__(self) -> None:
        super().__init__("this idempotency key was used with another body")


class StoreUnavailable(IndexFault):
    """The database cannot be read or written now: the operator's concern, and nothing was half done."""


class StartRefused(IndexFault):
    """The index must not serve as it is configured: the operator's to mend before starting again."""


class WrongKey(StartRefused):
    """The key-encryption key is not the one that the store was written with, or a record was tampered with."""


class CalibrationMissing(StartRefused):
    """No thresholds are known for this embedder: scores would be compared with another model's."""


class EmbedderRefused(StartRefused):
    """The embedder cannot be used: not found, not the expected weights, or not the one that entries were made with."""


class BaseRefused(IndexFault):
    """A base or stored snapshot cannot be used: it was written by another version, for another store, or is damaged.

    Nobody's fault and nothing is lost: the index is made from the store instead.
    """
