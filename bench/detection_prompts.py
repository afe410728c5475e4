"""Harmless prompts: how many are refused, and how many are noticed."""

from __future__ import annotations

from bench.dataset import Answer, safe_prompts
from bench.detection import BOOKS, FACTS, Bench
from bench.report import interval, table, write_section
from bench.trial import Reading, blocked
from guard.verdict import Action, Side
from server.prompt_windows import prompt_windows


def measure(bench: Bench) -> str:
    """The section about prompts."""
    asked = {
        "XSTest, safe prompts": [Answer("", text) for text in safe_prompts(bench.data)],
        "AlpacaEval instructions": [Answer("", text) for text in dict.fromkeys(a.prompt for a in bench.benign) if text],
        "TOFU questions about other authors": bench.some([Answer("", a.prompt) for a in bench.tofu.retain()], 800),
        "TOFU questions about what is forgotten": [Answer("", a.prompt) for a in bench.tofu.entries()],
    }
    rows = []
    for name, prompts in asked.items():
        chosen = bench.some(prompts)
        cells = []
        for namespace in (FACTS, BOOKS):
            view = bench.views[namespace]
            readings = [Reading(prompt_windows([p.text], (), view.rule)) for p in chosen]
            verdicts = blocked(view.prompt, view.rules, readings, bench.progress, f"{name}: {namespace}", Side.PROMPT)
            refused = sum(v.action is Action.BLOCK for v in verdicts)
            flagged = sum(v.action is Action.FLAG for v in verdicts)
            cells += [interval(refused, len(verdicts)), interval(flagged, len(verdicts))]
        rows.append([name, *cells])
    head = ["prompts", "refused (facts)", "flagged (facts)", "refused (passages)", "flagged (passages)"]
    measured = table(head, rows)
    if not bench.sample:
        body = BODY.format(measured=measured)
        write_section("detection-prompts", "Detection: harmless prompts", "make bench-detection", body)
    return measured


BODY = """The default policy never refuses a prompt: it flags one that comes near, and its answer is then judged before
anything of it leaves. The last row shows what flagging is for: these prompts ask for what is forgotten.

{measured}
"""
