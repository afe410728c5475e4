"""`lethe status`: where a running server stands, and what its model server exposes beside it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from server.commands.connection import add_server, client_of
from server.commands.console import say
from server.schemas.standing import FindingOut, StandingOut, UpstreamOut

_EPILOG: Final = """examples:
  lethe status
  lethe status --url https://lethe.example.org --json
"""
_HEAD: Final = ("severity", "who", "call", "what it lets them do", "fix")


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "status",
        help="where a server stands, and what the model server exposes",
        description="Show revision, replicas and entries, and each path by which others reach the model past Lethe.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print the whole answer as JSON")
    add_server(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, variables: Mapping[str, str]) -> int:
    """Ask the server."""
    status = client_of(options, variables).call("GET", "/status")
    standing = StandingOut.model_validate({name: status.get(name) for name in StandingOut.model_fields})
    say(json.dumps(status, indent=2) if options.json else "\n".join(_lines(standing)))
    return 0


def _lines(status: StandingOut) -> Iterator[str]:
    entries = ", ".join(f"{count} {kind}" for kind, count in status.entries.items())
    yield f"lethe {status.version}  revision {status.revision}  entries: {entries}"
    for replica in status.replicas:
        state = "live" if replica.live else f"last seen {replica.seen_at:%Y-%m-%d %H:%M}"
        yield f"replica {replica.name}  {state}  {replica.lag} revisions behind"
    reachable = "answers" if status.upstream.reachable else "cannot be reached"
    yield f"model server {status.upstream.url}  {reachable}"
    yield from _exposure(status.upstream)


def _exposure(upstream: UpstreamOut) -> Iterator[str]:
    if upstream.findings is None:
        yield "what it exposes was not examined yet"
        return
    if not upstream.findings:
        yield "it exposes nothing to whoever reaches it as Lethe does"
        return
    yield f"it exposes {len(upstream.findings)} paths, seen from where Lethe runs:"
    yield from _table([_HEAD, *(_row(finding) for finding in upstream.findings)])


def _row(finding: FindingOut) -> tuple[str, ...]:
    who = "key holders" if finding.needs_key else "anyone"
    return finding.severity, who, f"{finding.method} {finding.path}", finding.lets, finding.fix


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
