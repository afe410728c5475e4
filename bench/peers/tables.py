"""The tables of the side-by-side benchmark, and its aims, each met or not by the figures of the run."""

from __future__ import annotations

from bench.peers.catalog import CASCADE, FASTAPI, LITELLM, NEMO, PASSES, PORTKEY
from bench.peers.figures import FEW, MANY, WHOLE, Figures, Spread, added, own, per, ratio
from bench.report import table

CPU = per("tokens", 1e6)


def _cell(spread: Spread | None, digits: int = 1) -> str:
    return spread.shown(digits) if spread else "-"


def _wholes(figures: Figures) -> str:
    direct = figures.direct(WHOLE, "per_s"), figures.direct(WHOLE, "total_p50"), figures.direct(WHOLE, "total_p99")
    rows = [["direct", _cell(direct[0], 0), "1", _cell(direct[1]), _cell(direct[2]), "-"]]
    for peer in figures.peers:
        cells = [
            _cell(figures.of(peer, WHOLE, own("per_s")), 0),
            _cell(figures.of(peer, WHOLE, ratio("per_s")), 3),
            _cell(figures.of(peer, WHOLE, own("total_p50"))),
            _cell(figures.of(peer, WHOLE, own("total_p99"))),
            _cell(figures.of(peer, WHOLE, per("answers", 1e3)), 2),
        ]
        rows.append([figures.title(peer), *cells])
    return table(["", "requests/s", "ratio to direct", "p50, ms", "p99, ms", "CPU ms per request"], rows)


def _streams(figures: Figures, scenario: str) -> str:
    gaps = figures.direct(scenario, "gap_p50"), figures.direct(scenario, "gap_p99")
    rows = [["direct", "-", "-", _cell(gaps[0]), _cell(gaps[1]), "-", "1", "-"]]
    for peer in figures.peers:
        cells = [
            _cell(figures.of(peer, scenario, added("first_p50"))),
            _cell(figures.of(peer, scenario, added("first_p95"))),
            _cell(figures.of(peer, scenario, own("gap_p50"))),
            _cell(figures.of(peer, scenario, own("gap_p99"))),
            _cell(figures.of(peer, scenario, added("total_p50")), 0),
            _cell(figures.of(peer, scenario, ratio("per_s")), 2),
            _cell(figures.of(peer, scenario, CPU), 0),
        ]
        rows.append([figures.title(peer), *cells])
    head = ["", "added TTFT p50, ms", "added TTFT p95, ms", "gap p50, ms", "gap p99, ms", "end of stream later p50, ms"]
    return table([*head, "streams/s, ratio to direct", "CPU s per million tokens"], rows)


def _intact(figures: Figures) -> str:
    rows = []
    for peer in figures.peers:
        answers, suppressed, changed, failed = figures.texts_of(peer)
        fault = figures.fault(peer)[:160].replace("|", "/")
        rows.append([figures.title(peer), f"{answers:,}", f"{changed:,}", f"{suppressed:,}", f"{failed:,}", fault])
    return table(["", "answers", "changed", "ended as filtered", "failed requests", "not measured because"], rows)


def _row(aim: str, value: float | None, limit: float, least: bool = False, digits: int = 2) -> list[str]:
    """An aim: a figure at most, or at `least`, a limit."""
    if value is None:
        return [aim, "-", "not measured"]
    met = value >= limit if least else value <= limit
    return [aim, f"{value:.{digits}f}", "met" if met else "**not met**"]


def _quotient(one: Spread | None, other: Spread | None) -> float | None:
    return one.median / other.median if one and other and other.median else None


def _aims(figures: Figures) -> str:
    rows = []
    for scenario in (FEW, MANY):
        share = _quotient(figures.of(CASCADE, scenario, CPU), figures.of(LITELLM, scenario, CPU))
        rows.append(_row(f"CPU per token as a share of LiteLLM's, {scenario}: at most 0.25", share, 0.25))
    rate = _quotient(figures.of(CASCADE, WHOLE, own("per_s")), figures.of(LITELLM, WHOLE, own("per_s")))
    rows.append(_row("whole answers per second, as a multiple of LiteLLM's: at least 2", rate, 2.0, True))
    for what, figure in (("added TTFT p50", added("first_p50")), ("gap p99", own("gap_p99"))):
        for scenario in (FEW, MANY):
            for peer in (LITELLM, NEMO, PORTKEY):
                ours, theirs = figures.of(CASCADE, scenario, figure), figures.of(peer, scenario, figure)
                less = ours.median - theirs.median if ours and theirs else None
                name = figures.title(peer).split(",")[0] if peer in figures.peers else peer
                rows.append(_row(f"{what} less that of {name}, {scenario}, ms: below 0", less, 0.0, digits=1))
    for scenario in (FEW, MANY):
        share = _quotient(figures.of(PASSES, scenario, CPU), figures.of(FASTAPI, scenario, CPU))
        aim = f"CPU per token with nothing to forget, as a multiple of FastAPI + aiohttp's, {scenario}: at most 1.5"
        rows.append(_row(aim, share, 1.5))
    return table(["aim (with 10,000 entries, adaptive, unless it says otherwise)", "measured", ""], rows)


def body(figures: Figures) -> str:
    """The section of docs/benchmarks.md."""
    return BODY.format(
        texts=figures.texts,
        runs=figures.runs,
        secs=figures.secs,
        foreign=figures.foreign(),
        aims=_aims(figures),
        wholes=_wholes(figures),
        few=_streams(figures, FEW),
        many=_streams(figures, MANY),
        intact=_intact(figures),
    )


BODY = """A mock model server answers with {texts:,} different stretches of benign answers (600 characters, 150 pieces
of four characters: a *token* here), to prompts that differ as well, so that nothing is answered from a cache. Model
server and load share one core, the proxy has the other. Each connection sends its next request when its last answer is
complete, and all begin together. Every run measures direct and then the proxy, with {secs:g} s of beginnings each;
figures are the median [least..greatest] of {runs} runs. TTFT is the time to the first piece of text, *added* is the
difference to direct in the same run, gaps are between pieces of text as they arrive. CPU is of the proxy and all its
children. Every answer is compared with what was sent. The forget list holds invented authors' facts and passages of
novels (`bench/crowd.py`). Other processes used {foreign:.2f} cores meanwhile.

{aims}

Whole answers, 16 connections:

{wholes}

16 streams, 10 ms per token:

{few}

64 streams, 10 ms per token:

{many}

Answers, of all scenarios and runs:

{intact}

![processor time, time to first text and rate of each proxy](benchmarks/peers.png)
"""
