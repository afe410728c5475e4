"""The synchronous driver: judges a text that is at hand, whole or in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from guard.cascade import Finding
from guard.detector import Window
from guard.events import Check, Done, NeedText, Release, Stop
from guard.policy import Rules
from guard.stream import StreamMachine
from guard.verdict import Action, Match, Side, Verdict

Judge = Callable[[Sequence[Window]], Sequence[Verdict]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What left, what was concluded, and how much had left before it was condemned (characters)."""

    text: str
    verdict: Verdict
    leaked: int
    releases: tuple[Release, ...]


def verdict_of(finding: Finding, rules: Rules, side: Side = Side.ANSWER) -> Verdict:
    """The rules' verdict on what a cascade found in one window."""
    return rules.decide(finding.matches, side, finding.failed, finding.suspects)


def combine(verdicts: Iterable[Verdict], revision: int = 0) -> Verdict:
    """All verdicts of one text as one: the strongest action, and per entry and detector the best match."""
    action = shadowed = Action.ALLOW
    best: dict[tuple[str, str], Match] = {}
    failed: dict[str, None] = {}
    for verdict in verdicts:
        action, shadowed = max(action, verdict.action), max(shadowed, verdict.shadowed)
        failed |= dict.fromkeys(verdict.failed)
        revision = verdict.revision or revision
        for match in verdict.matches:
            key = (match.entry_id, match.detector)
            if key not in best or match.score > best[key].score:
                best[key] = match
    return Verdict(action, tuple(best.values()), tuple(failed), revision, shadowed)


def scan(machine: StreamMachine, pieces: Iterable[str], judge: Judge) -> Outcome:
    """Drive `machine` over the pieces of a text, in order, to its end."""
    releases: list[Release] = []
    source = iter(pieces)
    while True:
        match machine.next_event():
            case NeedText():
                piece = next(source, None)
                if piece is None:
                    machine.end()
                else:
                    machine.feed(piece)
            case Check(windows):
                machine.resolve(judge(windows))
            case Release() as release:
                releases.append(release)
            case Stop() | Done():
                break
    text = "".join(r.text for r in releases)
    return Outcome(text, combine(machine.verdicts), machine.leaked, tuple(releases))
