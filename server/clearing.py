"""Computes where the static stage may clear, from leaks: what the embedding convicts must seldom be cleared before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from guard.cascade import Cascade, Stage
from guard.verdict import Kind
from index.static_stage import LEAST_RECALL, static_clearance
from server.calibrating import windows_in
from server.judging import View

FEWEST: Final = 199
"""Convicted windows without which the recall that the static stage needs cannot be shown."""

_EMBEDDING: Final = "embedding"


def convicted_scores(
    view: View, leaks: Sequence[tuple[str, str]], values: Mapping[Kind, float], clock: Callable[[], float]
) -> dict[Kind, list[float]]:
    """What the stage of `view` that only clears gives to the windows of these (prompt, answer) that convict, by kind.

    Convicted is what reaches `values` in the embedding stage. Empty for a view without either stage. Blocks while the
    embedder computes.
    """
    clearing = next((stage for stage in view.answer.stages if not stage.convict_at), None)
    deciding = next((stage for stage in view.answer.stages if stage.detector.name == _EMBEDDING), None)
    if clearing is None or deciding is None:
        return {}
    windows = [window for prompt, answer in leaks for window in windows_in(view, answer, prompt)]
    findings, _ = Cascade((Stage(deciding.detector, convict_at=values),)).judge(windows, clock)
    told = [(window, finding.matches) for window, finding in zip(windows, findings, strict=True) if finding.matches]
    evidence = clearing.detector.find([window for window, _ in told]) if told else []
    scores: dict[Kind, list[float]] = {}
    for (_, matches), found in zip(told, evidence, strict=True):
        for kind in {match.kind for match in matches}:
            scores.setdefault(kind, []).append(max((e.score for e in found if e.kind is kind), default=0.0))
    return scores


def clearances(scores: Mapping[Kind, Sequence[float]]) -> dict[Kind, float]:
    """Below which score the static stage may clear each kind; a kind with too few scores is left out."""
    enough = {kind: given for kind, given in scores.items() if len(given) >= FEWEST}
    return {kind: static_clearance(given, [True] * len(given), LEAST_RECALL).below for kind, given in enough.items()}


def clearing_notes(
    scores: Mapping[Kind, Sequence[float]], old: Mapping[Kind, float], fallen: Sequence[Kind]
) -> list[str]:
    """What must be known about the static stage; `fallen` are the kinds whose threshold became lower."""
    notes = []
    for kind, given in scores.items():
        if len(given) < FEWEST:
            notes.append(
                f"{kind}: {len(given)} windows of leaks convict, {FEWEST} are needed to compute where the static stage "
                "may clear"
            )
    for kind in fallen:
        if kind in old and len(scores.get(kind, ())) < FEWEST:
            notes.append(
                f"{kind}: the static stage may not clear it any more, since its threshold fell and there were too few "
                "leaks to say below which score it may"
            )
    return notes
