"""The rows of the decisions: what one verdict says about each of its matches."""

from __future__ import annotations

from dataclasses import dataclass, replace

from guard.policy import Mode, Rules
from guard.verdict import Match, Side, Verdict
from server.observation import DecisionObserved


@dataclass(frozen=True, slots=True)
class DecisionRows:
    """Makes the rows of one request; `dialect` names the API that it came by."""

    request_id: str
    namespace: str
    dialect: str
    rules: Rules

    def of(self, side: Side, verdict: Verdict) -> list[DecisionObserved]:
        """One row per match, the strongest action first; of those carried out one counts, and one of the shadowed."""
        rows = [self.row(side, match, verdict.revision) for match in verdict.matches]
        rows.sort(key=lambda row: (row.action, row.score), reverse=True)
        counted: set[bool] = set()
        told = []
        for row in rows:
            told.append(replace(row, counted=row.shadow not in counted))
            counted.add(row.shadow)
        return told

    def row(self, side: Side, match: Match, revision: int) -> DecisionObserved:
        """The row of one match, not counted."""
        policy = self.rules.by_entry[match.entry_id].policy
        return DecisionObserved(
            request_id=self.request_id,
            namespace=self.namespace,
            dialect=self.dialect,
            side=side,
            action=policy.action(match.kind, side),
            kind=match.kind,
            stage=match.detector,
            entry_id=match.entry_id,
            score=match.score,
            threshold=match.threshold,
            revision=revision,
            shadow=policy.mode is Mode.SHADOW,
            view=match.view,
        )
