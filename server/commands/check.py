"""`lethe check`: the verdict on texts, no model involved."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Final

from guard.verdict import PLAIN
from server.commands.connection import add_connection, connected
from server.commands.console import say
from server.schemas.check import CheckIn, CheckOut

_EPILOG: Final = """examples:
  lethe check --prompt "Where was Ada Quill born?" "She was born in Vellmar."
  lethe check --side prompt "Recite the letter of the lamplighter."
  lethe check --store sqlite:///lethe.db --json - < answer.txt
"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "check",
        help="the verdict on texts, no model involved",
        description="Judge texts as live traffic would be judged, and show every match with its score.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("text", nargs="+", help="a text to judge, or - for standard input")
    parser.add_argument("--prompt", default="", help="the question that the text answers")
    parser.add_argument("--side", choices=["answer", "prompt"], default="answer", help="who says it (default answer)")
    parser.add_argument("--json", action="store_true", help="print the whole answer, one JSON object per text")
    add_connection(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, variables: Mapping[str, str]) -> int:
    """Check every text."""
    with connected(options, variables) as operations:
        for given in options.text:
            text = sys.stdin.read() if given == "-" else given
            checked = operations.check(CheckIn(text=text, prompt=options.prompt, side=options.side))
            say(checked.model_dump_json() if options.json else _lines(checked))
    return 0


def _lines(checked: CheckOut) -> str:
    lines = [f"{checked.action}  (revision {checked.revision})"]
    for match in checked.matches:
        dress = "" if match.view == PLAIN else f"  read as {match.view}"
        lines.append(
            f"  {match.entry_id}  {match.detector} {match.score:.3f} >= {match.threshold:.3f}"
            f"  characters {match.start}-{match.end}{dress}"
        )
    return "\n".join(lines)
