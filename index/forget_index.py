"""The forget index: writes go to the store, traffic reads snapshots."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, replace
from typing import Final

from guard.fingerprint import Shingler
from guard.policy import DEFAULT_POLICY, Policy
from guard.segments import DEFAULT_RULE
from guard.verdict import Kind
from index.advance import Advancer, State
from index.base import Bases, OwnBases
from index.base_file import BaseFile, base_basis
from index.calibration import check_fits
from index.entry import Change, Content, Draft, Entry, Page, Unset
from index.errors import Conflict, EmbedderRefused, EntryRefused, EntryUnknown, PolicyUnknown, WrongKey
from index.folding import Folding
from index.follower import Applied, Follower
from index.head import HeadTrainer
from index.imprint import Imprinter
from index.instruments import Instruments
from index.lint import Lint, Linter, admit, content_objection, facts_objection
from index.policies import policy_from_json, policy_to_json
from index.recorder import Recorder
from index.records import EntryFilter, EntryRecord, Once, PolicyRecord, Replica, Written
from index.score_histogram import Histogram
from index.screening import Screener
from index.sealing import KEY_BYTES, Sealer
from index.snapshot import Snapshot
from index.store import Store
from index.tools import Tools

_FINGERPRINT_KEY: Final = "fingerprint key"
_CHANGE_TRIES: Final = 3
_EMBED_AGAIN: Final = 64
_WAIT_STEP_S: Final = 0.05
_log = logging.getLogger(__name__)


class ForgetIndex:
    """All methods are synchronous and thread-safe. Writes embed first, then take one transaction.

    Raises `WrongKey` when `sealer` holds another key than the store was written with, `CalibrationMissing` when the
    thresholds belong to another embedder. Everything that touches the store may raise `StoreUnavailable`. `bases` is
    given where several processes serve together.
    """

    def __init__(  # each is a part of its own
        self,
        store: Store,
        instruments: Instruments,
        sealer: Sealer,
        replica_name: str,
        clock: Callable[[], float] = time.time,
        *,
        bases: Bases | None = None,
    ) -> None:
        embedder, calibration, background = instruments.embedder, instruments.calibration, instruments.background
        check_fits(calibration, embedder)
        self.store, self.embedder, self.calibration = store, embedder, calibration
        self.replica_name = replica_name
        self._clock = clock
        shingler = Shingler(_fingerprint_key(store, sealer))
        tools = Tools(embedder, shingler, calibration, static=instruments.static, judge=instruments.judge)
        heads = None if background is None else HeadTrainer(background)
        imprinter = Imprinter(embedder, shingler, DEFAULT_RULE, instruments.static, heads)
        self._recorder = Recorder(imprinter, sealer)
        screener = None if background is None else Screener(background, shingler, calibration.values)
        self._linter = Linter(imprinter, screener)
        file = BaseFile(store, sealer, base_basis(self._recorder.basis, instruments.static))
        folding, advancer = Folding(bases or OwnBases(), file), Advancer(tools, sealer)
        self._follower = Follower(store, advancer, State.blank(tools), replica_name, clock, folding=folding)

    def start(self) -> None:
        """Load the snapshot, then follow the store. Returns when it is ready to serve.

        Entries made by another embedder are embedded again first; raises `EmbedderRefused` when one of them is sealed.
        """
        self._embed_again()
        self._follower.start()

    def close(self) -> None:
        """Stop following. The store stays open."""
        self._follower.close()

    def wake(self) -> None:
        """Another process wrote to the store: look now."""
        self._follower.wake()

    # -- what traffic reads -----------------------------------------------------------------------------------------

    @property
    def snapshot(self) -> Snapshot:
        """The current snapshot: one attribute read, no lock."""
        return self._follower.state.snapshot

    @property
    def ready(self) -> bool:
        """True while the snapshot is loaded and kept at the store's revision."""
        return self._follower.ready

    def applied(self, observer: Applied) -> None:
        """Call `observer(snapshot, seconds from write to serving)` on every new snapshot, in the follower's thread."""
        self._follower.observe(observer)

    # -- entries ----------------------------------------------------------------------------------------------------

    def add(self, namespace: str, drafts: Sequence[Draft], once: Once | None = None) -> Written:
        """Keep all of these or none. Raises `EntryRefused`, `PolicyUnknown`, `IdempotencyMismatch`."""
        if once is not None and (before := self.store.replay(once)):
            return before
        if not drafts:
            raise EntryRefused("there is no entry to add")
        now = self._clock()
        admit(drafts, now)
        self._check_policies(namespace, {draft.policy for draft in drafts})
        records = self._recorder.record(namespace, drafts, now, self._linter.refuse_broad)
        return self._woken(self.store.add(records, once))

    def lint(self, draft: Draft, recent: Mapping[Kind, Histogram] | None = None) -> Lint:
        """What would become of an entry; nothing is kept. `recent` is how high the answers of recent traffic scored."""
        return self._linter.lint(draft, self._clock(), recent)

    def change(self, namespace: str, entry_id: str, change: Change, once: Once | None = None) -> Written:
        """Change an entry. Raises `EntryUnknown`, `EntryRefused`, `EntrySealed`, `PolicyUnknown`, `Conflict`."""
        if once is not None and (before := self.store.replay(once)):
            return before
        if change.policy is not None:
            self._check_policies(namespace, {change.policy})
        for attempt in range(_CHANGE_TRIES):
            record = self.store.entry(namespace, entry_id)
            try:
                return self._woken(self.store.replace(self._changed(record, change), record.revision, once))
            except Conflict:
                if attempt + 1 == _CHANGE_TRIES:
                    raise
        raise AssertionError("unreachable")

    def _changed(self, record: EntryRecord, change: Change) -> EntryRecord:
        changed = replace(
            record,
            label=record.label if change.label is None else change.label,
            policy=record.policy if change.policy is None else change.policy,
            reference=record.reference if change.reference is None else change.reference,
            expires_at=record.expires_at if isinstance(change.expires_at, Unset) else change.expires_at,
        )
        content = self._recorder.content(record) if change.touches_content else None
        if content is not None:
            content = Content(
                content.text if change.text is None else change.text,
                content.prompt if change.prompt is None else change.prompt,
                content.examples if change.examples is None else change.examples,
                content.counterexamples if change.counterexamples is None else change.counterexamples,
            )
        expires_at = None if isinstance(change.expires_at, Unset) else change.expires_at
        reason = facts_objection(changed.label, changed.reference, expires_at, self._clock())
        if content is not None:
            reason = reason or content_objection(record.kind, content, change.force)
        if reason:
            raise EntryRefused(reason)
        if content is None:
            return changed
        draft = replace(Draft(record.kind, *astuple(content)), force=change.force)
        return self._recorder.again([changed], [content], lambda made: self._linter.refuse_broad([draft], made))[0]

    def remove(self, namespace: str, entry_id: str, once: Once | None = None) -> Written:
        """Destroy an entry with its data key: it stops matching at the revision answered. Raises `EntryUnknown`."""
        return self._woken(self.store.remove(namespace, entry_id, once))

    def entry(self, namespace: str, entry_id: str) -> Entry:
        """Raises `EntryUnknown`."""
        return self.store.entry(namespace, entry_id).entry

    def reveal(self, namespace: str, entry_id: str) -> Content:
        """The text of an entry: for an admin, audited. Raises `EntryUnknown`, `EntrySealed`."""
        return self._recorder.content(self.store.entry(namespace, entry_id))

    def entries(
        self, namespace: str, kind: Kind | None = None, label: str = "", cursor: str | None = None, limit: int = 50
    ) -> Page:
        """A page of entries, newest first. Raises `ValueError` for a cursor that no page gave."""
        return self.store.entries(EntryFilter(namespace, kind, label, cursor, limit))

    # -- policies ---------------------------------------------------------------------------------------------------

    def policies(self, namespace: str) -> list[Policy]:
        """All policies, `default` included, by name."""
        found = {record.name: policy_from_json(record.body) for record in self.store.policies(namespace)}
        return [policy for _, policy in sorted(({DEFAULT_POLICY: Policy()} | found).items())]

    def policy(self, namespace: str, name: str) -> Policy:
        """Raises `PolicyUnknown`."""
        record = self.store.policy(namespace, name)
        if record is None and name != DEFAULT_POLICY:
            raise PolicyUnknown(name)
        return policy_from_json(record.body) if record else Policy()

    def put_policy(self, namespace: str, policy: Policy, once: Once | None = None) -> Written:
        """Keep a policy under its name, in the place of the one before."""
        return self._woken(self.store.put_policy(PolicyRecord(namespace, policy.name, policy_to_json(policy)), once))

    def _check_policies(self, namespace: str, names: set[str]) -> None:
        for name in sorted(names):
            self.policy(namespace, name)

    # -- replicas ---------------------------------------------------------------------------------------------------

    def wait_applied(self, revision: int, timeout_s: float) -> tuple[str, ...]:
        """Wait until every live replica serves that revision; answers the names of those that do not (empty: all)."""
        deadline = time.monotonic() + timeout_s
        self._follower.wait(revision, timeout_s)
        while late := self._follower.laggards(revision):
            left = deadline - time.monotonic()
            if left <= 0:
                return late
            time.sleep(min(_WAIT_STEP_S, left))
        return ()

    def replicas(self) -> list[Replica]:
        """Every replica that has served from this store and has not said that it ends."""
        return list(self.store.replicas())

    # -- inside -----------------------------------------------------------------------------------------------------

    def _woken(self, written: Written) -> Written:
        self._follower.wake()
        return written

    def _embed_again(self) -> None:
        """Bring entries that were made by another embedder or window rule to the present one."""
        basis = self._recorder.basis
        sealed = self.store.sealed_otherwise(basis)
        if sealed:
            raise EmbedderRefused(
                f"{sealed} sealed entries were embedded by another model or window rule and keep no text to embed "
                "again: start with that embedder, or remove them with it first"
            )
        done = 0
        while records := self.store.made_otherwise(basis, _EMBED_AGAIN):
            contents = [self._recorder.content(record) for record in records]
            for record, old in zip(self._recorder.again(records, contents), records, strict=True):
                try:
                    self.store.replace(record, old.revision)
                except (Conflict, EntryUnknown):
                    continue  # another replica was first
            done += len(records)
            _log.info("%d entries embedded again for embedder %s", done, self.embedder.hash[:12])


def _fingerprint_key(store: Store, sealer: Sealer) -> bytes:
    """The key of all fingerprints, made at first start. Opening it proves that `sealer` holds the right key."""
    kept = store.meta(_FINGERPRINT_KEY)
    if kept is None:
        fresh = sealer.wrap_secret(secrets.token_bytes(KEY_BYTES), _FINGERPRINT_KEY)
        kept = store.put_meta(_FINGERPRINT_KEY, fresh)
    try:
        return sealer.unwrap_secret(kept, _FINGERPRINT_KEY)
    except WrongKey:
        raise WrongKey(
            "this store was written with another key-encryption key: start with the key file or setting that belongs "
            "to it, no entry can be read without"
        ) from None
