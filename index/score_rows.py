"""Scores of passing traffic, in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

from guard.verdict import Action, Kind
from index import sql
from index.database import Database, Session, Value, real, text, whole
from index.decisions import Label
from index.score_histogram import BINS, Histogram, ScoreCount, ScoreFilter, ScoreSample, hour_of

_STAGE: Final = "embedding"
"""The stage whose scores are on the scale of the thresholds."""


class ScoreRows:
    """The part of the store that counts scores."""

    _db: Database

    def add_scores(self, counts: Sequence[ScoreCount]) -> None:
        """See `Store.add_scores`."""
        with self._db.writing() as session:
            for count in counts:
                session.run(sql.ADD_SCORES, {**asdict(count), "kind": count.kind.value, "side": count.side.value})

    def score_sample(self, wanted: ScoreFilter) -> ScoreSample:
        """See `Store.score_sample`."""
        where: Mapping[str, Value] = {"namespace": wanted.namespace, "side": wanted.side.value}
        hours: Mapping[str, Value] = {**where, "basis": wanted.basis, "hour": hour_of(wanted.since)}
        actions: Mapping[str, Value] = {"flag": Action.FLAG.label, "allow": Action.ALLOW.label}
        since: Mapping[str, Value] = {**where, "since": float(hour_of(wanted.since) * 3_600)}
        with self._db.reading() as session:
            counts: dict[Kind, list[int]] = {}
            for row in session.rows(sql.SCORES, hours):
                counts.setdefault(Kind(text(row, "kind")), [0] * BINS)[whole(row, "bin")] = whole(row, "texts")
            wrong = _labelled(session, since, Label.FALSE_POSITIVE, passed=False)
            right = _labelled(session, since, Label.HIT, passed=True)
            values = {**since, **actions, "false_positive": Label.FALSE_POSITIVE.value}
            suppressed = whole(session.rows(sql.COUNT_SUPPRESSED, values)[0], "n")
        histograms = {
            kind: Histogram(tuple(counts.get(kind, [0] * BINS))).moved(wrong.get(kind, ()), right.get(kind, ()))
            for kind in {*counts, *wrong}
        }
        return ScoreSample(histograms, _many(wrong), _many(right), suppressed)

    def forget_scores(self, before: float) -> int:
        """See `Store.forget_scores`."""
        with self._db.writing() as session:
            return session.run(sql.FORGET_SCORES, {"hour": hour_of(before)})


def _labelled(session: Session, since: Mapping[str, Value], label: Label, passed: bool) -> dict[Kind, list[float]]:
    """The scores of texts with this label that passed, or that were suppressed."""
    values = {**since, "flag": Action.FLAG.label, "stage": _STAGE, "label": label.value}
    found: dict[Kind, list[float]] = {}
    for row in session.rows(sql.LABELLED_SCORES, values):
        if bool(whole(row, "passed")) == passed and row["kind"] is not None and row["score"] is not None:
            found.setdefault(Kind(text(row, "kind")), []).append(real(row, "score"))
    return found


def _many(scores: Mapping[Kind, Sequence[float]]) -> int:
    return sum(len(found) for found in scores.values())
