"""Policies and the rules of entries: from matches to a verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import reduce
from types import MappingProxyType
from typing import Final

from guard.verdict import Action, Kind, Match, Side, Verdict

_BLOCK_ALL: Mapping[Kind, Action] = MappingProxyType(dict.fromkeys(Kind, Action.BLOCK))
_FLAG_ALL: Mapping[Kind, Action] = MappingProxyType(dict.fromkeys(Kind, Action.FLAG))
_NO_THRESHOLDS: Mapping[Kind, float] = MappingProxyType({})

DEFAULT_POLICY = "default"


class Mode(StrEnum):
    """`shadow` records what would have been done and does nothing."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


class Streaming(StrEnum):
    """How early text may leave; see `guard.stream`."""

    STRICT = "strict"
    ADAPTIVE = "adaptive"


class FailureRule(StrEnum):
    """What happens to a text that could not be judged."""

    REFUSE = "refuse"
    ALLOW = "allow"


class InContext(StrEnum):
    """What happens to what the user supplied in the same request, a document to summarise for example."""

    ALLOW = "allow"
    SUPPRESS = "suppress"
    FLAG = "flag"


class FactScope(StrEnum):
    """What a fact forbids: all that is said in answer to its question, or only what it claims itself."""

    CLAIMS = "claims"
    SUBJECT = "subject"


class Undecided(StrEnum):
    """What happens to a text that came near a threshold without reaching it, when no judge could tell."""

    ALLOW = "allow"
    FLAG = "flag"
    SUPPRESS = "suppress"


class Disclosure(StrEnum):
    """What a judge model may be told of an entry."""

    NONE = "none"
    LABEL = "label"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Adaptive:
    """How `Streaming.ADAPTIVE` weighs delay against what may leak before a sentence is condemned.

    `hold_above` is the score (0 to 1) from which an unfinished sentence is held until it was looked at closely, which
    happens every `look_words` words of it. `hold_back` characters at the end of what arrived never leave before more
    comes. An answer is judged as `strict` from its first word when its prompt scores at least the share `strict_near`
    of a threshold.
    """

    hold_above: float = 0.6
    hold_back: int = 12
    look_words: int = 8
    strict_near: float = 0.9

    def __post_init__(self) -> None:
        if not 0.0 < self.hold_above <= 1.0 or not 0.0 < self.strict_near <= 1.0:
            raise ValueError("hold_above and strict_near must be above 0 and at most 1")
        if not 0 <= self.hold_back <= 1_000 or not 1 <= self.look_words <= 32:
            raise ValueError("hold_back must be from 0 to 1000 characters, look_words from 1 to 32")

    def stricter(self, other: Adaptive) -> Adaptive:
        """What lets the least out of both."""
        return Adaptive(
            min(self.hold_above, other.hold_above),
            max(self.hold_back, other.hold_back),
            max(self.look_words, other.look_words),
            min(self.strict_near, other.strict_near),
        )


DEFAULT_ADAPTIVE: Final = Adaptive()


@dataclass(frozen=True, slots=True)
class LedgerRule:
    """How much of one entry may leave to one caller, however it is cut into pieces (see `guard.ledger`).

    Of the units that tell an entry, at most the `share` (0 to 1; 1 limits nothing) leaves within `window_s` seconds. Of
    a fact of few sentences, `least_units` of its names, numbers and words may leave in any case: other texts have them.
    """

    share: float = 0.2
    window_s: float = 86_400.0
    least_units: int = 4

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0 or not 1 <= self.least_units <= 1_000:
            raise ValueError("the share of a ledger must be above 0 and at most 1, its least_units from 1 to 1000")
        if not 60.0 <= self.window_s <= 31_622_400.0:
            raise ValueError("the window of a ledger must be from a minute to 366 days")


DEFAULT_LEDGER: Final = LedgerRule()


@dataclass(frozen=True, slots=True)
class Policy:
    """What to do on a match. Lives in the store under a name and changes without a restart.

    `thresholds` override the calibration per kind (cosine, 0 < t <= 1). `rewrite_tries` is at least 1.
    """

    name: str = DEFAULT_POLICY
    mode: Mode = Mode.ENFORCE
    streaming: Streaming = Streaming.ADAPTIVE
    adaptive: Adaptive = DEFAULT_ADAPTIVE
    answer_actions: Mapping[Kind, Action] = field(default_factory=lambda: _BLOCK_ALL)
    prompt_actions: Mapping[Kind, Action] = field(default_factory=lambda: _FLAG_ALL)
    refusal: str = "I can't help with that."
    redaction: str = "[redacted]"
    rewrite_tries: int = 2
    thresholds: Mapping[Kind, float] = field(default_factory=lambda: _NO_THRESHOLDS)
    on_failure: FailureRule = FailureRule.REFUSE
    in_context: InContext = InContext.SUPPRESS
    fact_scope: FactScope = FactScope.CLAIMS
    on_undecided: Undecided = Undecided.ALLOW
    disclosure: Disclosure = Disclosure.LABEL
    ledger: LedgerRule = DEFAULT_LEDGER

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a policy needs a name")
        if not self.refusal.strip() or not self.redaction.strip():
            raise ValueError("the refusal and the redaction text of a policy must not be empty")
        if not 1 <= self.rewrite_tries <= 10:
            raise ValueError("rewrite_tries must be between 1 and 10")
        for actions in (self.answer_actions, self.prompt_actions):
            if set(actions) != set(Kind):
                raise ValueError("a policy names an action for every kind: " + ", ".join(Kind))
        for action in self.prompt_actions.values():
            if action in (Action.REDACT, Action.REWRITE):
                raise ValueError("a prompt can be allowed, flagged or blocked; redact and rewrite are for answers")
        for kind, threshold in self.thresholds.items():
            if not 0.0 < threshold <= 1.0:
                raise ValueError(f"the threshold of kind {kind} must be above 0 and at most 1")

    def action(self, kind: Kind, side: Side) -> Action:
        """What this policy does about a match of that kind on that side."""
        return (self.answer_actions if side is Side.ANSWER else self.prompt_actions)[kind]


_UNDECIDED: Mapping[Undecided, Action] = MappingProxyType(
    {Undecided.ALLOW: Action.ALLOW, Undecided.FLAG: Action.FLAG, Undecided.SUPPRESS: Action.BLOCK}
)


def _anything(match: Match, policy: Policy) -> Action:
    return Action.BLOCK


@dataclass(frozen=True, slots=True)
class Rule:
    """What one active entry asks for. `label` is public: it may be named to the model and to clients."""

    entry_id: str
    kind: Kind
    policy: Policy
    label: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """All active rules of one namespace at one revision."""

    revision: int
    by_entry: Mapping[str, Rule]
    default: Policy = field(default_factory=Policy)

    def decide(
        self,
        matches: Iterable[Match],
        side: Side,
        failed: tuple[str, ...] = (),
        suspects: Iterable[Match] = (),
        weaken: Callable[[Match, Policy], Action] = _anything,
    ) -> Verdict:
        """The strongest action that any match or failure asks for. Matches of unknown entries are ignored.

        A suspect that reached its threshold counts as a match, another one as its policy says. `weaken` gives the most
        that may be done about a match: what the user supplied, for example, may be excused.
        """
        action = shadowed = Action.ALLOW
        kept = []
        told = [(match, Action.BLOCK) for match in matches]
        told += [(match, self._most(match)) for match in suspects]
        for match, allowed in told:
            rule = self.by_entry.get(match.entry_id)
            if rule is None:
                continue
            most = min(allowed, weaken(match, rule.policy))
            if most is Action.ALLOW:
                continue
            kept.append(match)
            wanted = min(most, rule.policy.action(match.kind, side))
            if rule.policy.mode is Mode.SHADOW:
                shadowed = max(shadowed, wanted)
                wanted = min(wanted, Action.FLAG)
            action = max(action, wanted)
        if failed and self.on_failure is FailureRule.REFUSE:
            action = Action.BLOCK
        return Verdict(action, tuple(kept), failed, self.revision, shadowed)

    def _most(self, suspect: Match) -> Action:
        """The most that may be done about evidence that no review could decide."""
        rule = self.by_entry.get(suspect.entry_id)
        if rule is None or suspect.score >= suspect.threshold:
            return Action.BLOCK
        return _UNDECIDED[rule.policy.on_undecided]

    def policy_of(self, verdict: Verdict, side: Side = Side.ANSWER) -> Policy:
        """The policy whose action the verdict carries out: its refusal, redaction and tries apply."""
        for match in verdict.matches:
            policy = self.by_entry[match.entry_id].policy
            if policy.mode is Mode.ENFORCE and policy.action(match.kind, side) == verdict.action:
                return policy
        return self.default

    @property
    def policies(self) -> frozenset[str]:
        """Names of the policies that active entries use."""
        return frozenset(rule.policy.name for rule in self.by_entry.values())

    @property
    def streaming(self) -> Streaming:
        """The strictest streaming mode that an active entry asks for.

        Redaction must never show half a span, so an entry that may be redacted holds whole windows back.
        """
        for rule in self.by_entry.values():
            policy = rule.policy
            redacts = policy.mode is Mode.ENFORCE and policy.answer_actions[rule.kind] is Action.REDACT
            if policy.streaming is Streaming.STRICT or redacts:
                return Streaming.STRICT
        return Streaming.ADAPTIVE if self.by_entry else self.default.streaming

    @property
    def adaptive(self) -> Adaptive:
        """What lets the least out of all that active entries ask for."""
        found = {rule.policy.adaptive for rule in self.by_entry.values()} or {self.default.adaptive}
        return reduce(Adaptive.stricter, found)

    @property
    def redaction(self) -> str:
        """What stands for a redacted span: the text of the first policy that redacts."""
        for rule in self.by_entry.values():
            if rule.policy.answer_actions[rule.kind] is Action.REDACT:
                return rule.policy.redaction
        return self.default.redaction

    @property
    def on_failure(self) -> FailureRule:
        """`refuse` as soon as one active entry, or the default policy of an empty namespace, asks for it."""
        rules = [rule.policy.on_failure for rule in self.by_entry.values()] or [self.default.on_failure]
        return FailureRule.REFUSE if FailureRule.REFUSE in rules else FailureRule.ALLOW
