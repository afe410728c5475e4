"""The bodies of calls about policies."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from guard.policy import (
    DEFAULT_ADAPTIVE,
    DEFAULT_LEDGER,
    Adaptive,
    Disclosure,
    FactScope,
    FailureRule,
    InContext,
    LedgerRule,
    Mode,
    Policy,
    Streaming,
    Undecided,
)
from guard.verdict import Action, Kind
from server.schemas.base import ActionName, KindName, Name, Schema

PromptActionName = Literal["allow", "flag", "block"]
InContextName = Literal["allow", "suppress", "flag"]
FactScopeName = Literal["claims", "subject"]
UndecidedName = Literal["allow", "flag", "suppress"]
DisclosureName = Literal["none", "label", "text"]
Threshold = Annotated[float, Field(gt=0, le=1)]


class SideActions(Schema):
    """An action per kind for answers; a kind that is not named keeps its action."""

    passage: ActionName | None = None
    fact: ActionName | None = None
    concept: ActionName | None = None


class PromptActions(Schema):
    """The same for prompts, which can be neither redacted nor rewritten."""

    passage: PromptActionName | None = None
    fact: PromptActionName | None = None
    concept: PromptActionName | None = None


class ActionsIn(SideActions):
    """Per side and kind; kinds without a side mean answers."""

    answer: SideActions = SideActions()
    prompt: PromptActions = PromptActions()


class AdaptiveBody(Schema):
    """How adaptive streaming weighs delay against what may leak before a sentence is condemned."""

    hold_above: Annotated[float, Field(gt=0, le=1, description="score from which an unfinished sentence is held")] = (
        DEFAULT_ADAPTIVE.hold_above
    )
    hold_back: Annotated[
        int, Field(ge=0, le=1_000, description="characters at the end of what arrived that never leave yet")
    ] = DEFAULT_ADAPTIVE.hold_back
    look_words: Annotated[
        int, Field(ge=1, le=32, description="words of a held sentence after which it is looked at closely again")
    ] = DEFAULT_ADAPTIVE.look_words
    strict_near: Annotated[
        float, Field(gt=0, le=1, description="share of a threshold from which a prompt makes its answer strict")
    ] = DEFAULT_ADAPTIVE.strict_near


class LedgerBody(Schema):
    """How much of one entry may leave to one caller over time, however it is cut into pieces."""

    share: Annotated[
        float, Field(gt=0, le=1, description="share of an entry that may leave to one caller; 1 limits nothing")
    ] = DEFAULT_LEDGER.share
    window_s: Annotated[
        float, Field(ge=60, le=31_622_400, description="seconds for which what has left is remembered, at least")
    ] = DEFAULT_LEDGER.window_s
    least_units: Annotated[
        int, Field(ge=1, le=1_000, description="names, numbers and words of a short fact that may leave in any case")
    ] = DEFAULT_LEDGER.least_units


class PolicyIn(Schema):
    """A policy. A field that is not given has the value of a new policy, whatever stood there before."""

    name: Name | None = None
    mode: Literal["enforce", "shadow"] = "enforce"
    streaming: Literal["strict", "adaptive"] = "adaptive"
    adaptive: AdaptiveBody = AdaptiveBody()
    actions: ActionsIn = ActionsIn()
    refusal: Annotated[str, StringConstraints(min_length=1, max_length=4_000)] = Policy().refusal
    redaction: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Policy().redaction
    rewrite_tries: Annotated[int, Field(ge=1, le=10)] = Policy().rewrite_tries
    thresholds: dict[KindName, Threshold] = Field(default_factory=dict)
    adapter: None = None
    in_context: InContextName = "suppress"
    fact_scope: FactScopeName = "claims"
    on_undecided: UndecidedName = "allow"
    disclosure: DisclosureName = "label"
    ledger: LedgerBody = LedgerBody()
    on_failure: Literal["refuse", "allow"] = "refuse"

    def policy(self, name: str) -> Policy:
        """As the guard knows it. Raises ValueError for a combination that makes no sense."""
        fresh = Policy()
        answer = dict(fresh.answer_actions)
        prompt = dict(fresh.prompt_actions)
        for given in (self.actions, self.actions.answer):
            answer |= {k: Action.from_label(v) for k in Kind if (v := getattr(given, k.value)) is not None}
        prompt |= {k: Action.from_label(v) for k in Kind if (v := getattr(self.actions.prompt, k.value)) is not None}
        return Policy(
            name=name,
            mode=Mode(self.mode),
            streaming=Streaming(self.streaming),
            adaptive=Adaptive(**self.adaptive.model_dump()),
            answer_actions=answer,
            prompt_actions=prompt,
            refusal=self.refusal,
            redaction=self.redaction,
            rewrite_tries=self.rewrite_tries,
            thresholds={Kind(k): t for k, t in self.thresholds.items()},
            on_failure=FailureRule(self.on_failure),
            in_context=InContext(self.in_context),
            fact_scope=FactScope(self.fact_scope),
            on_undecided=Undecided(self.on_undecided),
            disclosure=Disclosure(self.disclosure),
            ledger=LedgerRule(**self.ledger.model_dump()),
        )


class ActionsOut(Schema):
    """An action for every side and kind."""

    answer: dict[KindName, ActionName]
    prompt: dict[KindName, ActionName]


class PolicyOut(Schema):
    """A policy in full, as `PUT` takes it."""

    name: str
    mode: Literal["enforce", "shadow"]
    streaming: Literal["strict", "adaptive"]
    adaptive: AdaptiveBody
    actions: ActionsOut
    refusal: str
    redaction: str
    rewrite_tries: int
    thresholds: dict[KindName, float]
    adapter: None = None
    in_context: InContextName
    fact_scope: FactScopeName
    on_undecided: UndecidedName
    disclosure: DisclosureName
    ledger: LedgerBody
    on_failure: Literal["refuse", "allow"]

    @classmethod
    def of(cls, policy: Policy) -> PolicyOut:
        """The public form of a policy."""
        return cls.model_validate(
            {
                "name": policy.name,
                "mode": policy.mode.value,
                "streaming": policy.streaming.value,
                "adaptive": asdict(policy.adaptive),
                "actions": {
                    "answer": {k.value: a.label for k, a in policy.answer_actions.items()},
                    "prompt": {k.value: a.label for k, a in policy.prompt_actions.items()},
                },
                "refusal": policy.refusal,
                "redaction": policy.redaction,
                "rewrite_tries": policy.rewrite_tries,
                "thresholds": {k.value: t for k, t in policy.thresholds.items()},
                "on_failure": policy.on_failure.value,
                "in_context": policy.in_context.value,
                "fact_scope": policy.fact_scope.value,
                "on_undecided": policy.on_undecided.value,
                "disclosure": policy.disclosure.value,
                "ledger": asdict(policy.ledger),
            }
        )


class PolicyWrittenOut(Schema):
    """The policy applies from `revision` on."""

    name: str
    revision: int


class PoliciesOut(Schema):
    """Every policy of a namespace."""

    policies: list[PolicyOut]
