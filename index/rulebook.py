"""The rules of all active entries of a namespace: kept as what is told about each, made into rules when asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from guard.policy import DEFAULT_POLICY, Policy, Rule
from guard.verdict import Kind
from index.layered import Codec, Layered

_KINDS: Final = tuple(Kind)

Asked = tuple[Kind, str, str]
"""What an entry asks for: its kind, the name of its policy, its label."""


def _encode(asked: Asked) -> bytes:
    kind, policy, label = asked
    name = policy.encode()
    return bytes((_KINDS.index(kind),)) + len(name).to_bytes(2, "little") + name + label.encode()


def _decode(data: bytes) -> Asked:
    end = 3 + int.from_bytes(data[1:3], "little")
    return _KINDS[data[0]], data[3:end].decode(), data[end:].decode()


class RuleBook(Mapping[str, Rule]):
    """Rules by entry. Immutable: a change gives a new one, at a cost that hardly depends on how many there are.

    `policies` are those of the namespace; an entry whose policy is not among them follows the default one.
    """

    __slots__ = ("_asked", "_counts", "_policies", "_resolved", "examples")

    def __init__(self, policies: Mapping[str, Policy] | None = None) -> None:
        self._asked: Layered[Asked] = Layered(Codec(_encode, _decode))
        self._counts: Mapping[tuple[Kind, str], int] = {}
        self.examples: Mapping[Kind, str] = {}  # one entry of each kind that there is
        self._resolve(policies or {})

    def _resolve(self, policies: Mapping[str, Policy]) -> None:
        self._policies = policies
        self._resolved: dict[str, Policy] = dict(policies)

    def __getstate__(self) -> tuple[object, ...]:
        return self._asked, self._counts, self.examples, self._policies

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._asked, self._counts, self.examples, policies = state
        self._resolve(policies)

    def __len__(self) -> int:
        return len(self._asked)

    def __iter__(self) -> Iterator[str]:
        return iter(self._asked)

    def __contains__(self, entry_id: object) -> bool:
        return entry_id in self._asked

    def __getitem__(self, entry_id: str) -> Rule:
        kind, policy, label = self._asked[entry_id]
        return Rule(entry_id, kind, self._policy(policy), label)

    def _policy(self, name: str) -> Policy:
        found = self._resolved.get(name)
        if found is None:
            from_default = self._policies.get(DEFAULT_POLICY) or Policy()
            found = self._resolved[name] = replace(from_default, name=name)
        return found

    @property
    def few(self) -> tuple[Rule, ...]:
        """One rule per kind and policy that is in use; their entry is nobody's."""
        return tuple(Rule("", kind, self._policy(name)) for kind, name in self._counts)

    @property
    def counts(self) -> Mapping[Kind, int]:
        """Entries of each kind that there is."""
        found = Counter[Kind]()
        for (kind, _), count in self._counts.items():
            found[kind] += count
        return found

    @property
    def fresh(self) -> int:
        """How much was written since the base was made."""
        return self._asked.fresh

    def changed(self, removed: Collection[str], added: Mapping[str, Asked], policies: Mapping[str, Policy]) -> RuleBook:
        """The rules without those of `removed`, with `added`, under these policies."""
        counts = Counter(self._counts)
        for entry_id in {*removed, *added}:
            if entry_id in self._asked:
                kind, name, _ = self._asked[entry_id]
                counts[kind, name] -= 1
        counts.update((kind, name) for kind, name, _ in added.values())
        book = RuleBook(policies)
        book._asked = self._asked.changed(removed, added) if removed or added else self._asked
        book._counts = {use: count for use, count in counts.items() if count > 0}
        book.examples = book._found(
            removed, {kind: entry_id for entry_id, (kind, _, _) in added.items()}, self.examples
        )
        return book

    def _found(
        self, removed: Collection[str], added: Mapping[Kind, str], before: Mapping[Kind, str]
    ) -> Mapping[Kind, str]:
        """An entry of each kind: searched for among all only when the one before was removed."""
        gone = frozenset(removed)
        found = {kind: entry_id for kind, entry_id in before.items() if entry_id not in gone} | dict(added)
        missing = self.counts.keys() - found.keys()
        for entry_id in self._asked if missing else ():
            kind = self._asked[entry_id][0]
            if kind in missing:
                found[kind] = entry_id
                missing -= {kind}
                if not missing:
                    break
        return {kind: entry_id for kind, entry_id in found.items() if kind in self.counts}

    def packed(self) -> RuleBook:
        """The same on one packed base."""
        book = RuleBook(self._policies)
        book._asked, book._counts, book.examples = self._asked.packed(), self._counts, self.examples
        return book
