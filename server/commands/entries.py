"""`lethe entries`: what must be forgotten."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, TextIO

from pydantic import ValidationError

from server.commands.connection import add_connection, connected
from server.commands.console import CommandFailed, progress_bar, remark, say
from server.commands.operations import Listing, Operations
from server.errors import field_errors
from server.schemas.entries import EntryIn, EntryOut

_EPILOG: Final = """examples:
  echo "Ada Quill was born in Vellmar in 1971." | lethe entries add --kind fact --prompt "Where was Ada Quill born?" -
  lethe entries list --kind passage
  lethe entries show ent_... --reveal
  lethe entries remove ent_... --wait
  lethe entries import forget.ndjson          one entry per line: {"kind": "fact", "text": "...", "prompt": "..."}
  lethe entries export --out backup.ndjson    with text, so only for an admin; keep the file safe

The text `-` is read from standard input, where it reaches no shell history.
"""
_RAW: Final = argparse.RawDescriptionHelpFormatter
_PAGE: Final = 200


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "entries",
        help="add, list, show, remove, import and export entries",
        description="Entries are what must be forgotten.",
        epilog=_EPILOG,
        formatter_class=_RAW,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _register_add(actions)
    listing = actions.add_parser("list", help="list entries, newest first, without their text")
    listing.add_argument("--kind", choices=["passage", "fact", "concept"])
    listing.add_argument("--label", default="", help="only entries with this label")
    listing.add_argument("--limit", type=int, default=100, help="at most this many (default 100)")
    listing.set_defaults(run=_list)
    show = actions.add_parser("show", help="show one entry")
    show.add_argument("id")
    show.add_argument("--reveal", action="store_true", help="with its text; for admins, and it is logged")
    show.set_defaults(run=_show)
    remove = actions.add_parser("remove", help="destroy entries: their text and vectors are unrecoverable")
    remove.add_argument("id", nargs="+")
    remove.add_argument("--wait", action="store_true", help="return when every server has applied it")
    remove.set_defaults(run=_remove)
    importing = actions.add_parser("import", help="add the entries of a file, one JSON object per line")
    importing.add_argument("file", type=Path)
    importing.set_defaults(run=_import)
    export = actions.add_parser("export", help="write all entries with their text, as `import` takes them")
    export.add_argument("--out", type=Path, help="the file to write (default standard output)")
    export.set_defaults(run=_export)
    for action in (listing, show, remove, importing, export):
        add_connection(action)


def _register_add(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    add = actions.add_parser("add", help="add one entry; prints its id")
    add.add_argument("text", help="what must not be said, or - for standard input")
    add.add_argument("--kind", required=True, choices=["passage", "fact", "concept"])
    add.add_argument("--prompt", default="", help="the question that it answers")
    add.add_argument("--example", action="append", default=[], help="another way to say it; may be repeated")
    add.add_argument("--counterexample", action="append", default=[], help="what it is not; may be repeated")
    add.add_argument("--label", default="", help="a public name: it may be told to the model and to clients")
    add.add_argument("--policy", default="default", help="what to do on a match (default: default)")
    add.add_argument("--retention", default="encrypted", choices=["encrypted", "sealed"], help="sealed keeps no text")
    add.add_argument("--reference", default="", help="your own number for it, such as a ticket")
    add.add_argument("--expires-at", metavar="TIME", help="ISO 8601, such as 2030-01-31T00:00:00Z")
    add.add_argument("--force", action="store_true", help="add it although it would match ordinary text")
    add.add_argument("--wait", action="store_true", help="return when every server has applied it")
    add_connection(add)
    add.set_defaults(run=_add)


def _add(options: argparse.Namespace, variables: Mapping[str, str]) -> int:
    text = sys.stdin.read().strip() if options.text == "-" else options.text
    try:
        entry = EntryIn(
            kind=options.kind,
            text=text,
            prompt=options.prompt,
            examples=options.example,
            counterexamples=options.counterexample,
            label=options.label,
            policy=options.policy,
            retention=options.retention,
            reference=options.reference,
            expires_at=None if options.expires_at is None else datetime.fromisoformat(options.expires_at),
            force=options.force,
        )
    except ValidationError as error:
        first = field_errors(error.errors(include_url=False, include_context=False, include_input=False))[0]
        raise CommandFailed(f"{first['where']}: {first['reason']}") from None
    except ValueError:
        raise CommandFailed("--expires-at is no ISO 8601 time") from None
    with connected(options, variables) as operations:
        written = operations.add(entry, options.wait)
    say(written.id)
    return 0


def _list(options: argparse.Namespace, variables: Mapping[str, str]) -> int:
    left, cursor = options.limit, None
    with connected(options, variables) as operations:
        while left > 0:
            listing = Listing(options.kind, options.label, cursor, min(left, _PAGE))
            page = operations.entries(listing)
            for entry in page.entries:
                say(_line(entry))
            left, cursor = left - len(page.entries), page.next_cursor
            if cursor is None:
                break
    if cursor is not None:
        remark(f"there are more: --limit {options.limit * 2}")
    return 0


def _line(entry: EntryOut) -> str:
    expiry = f"  expires {entry.expires_at:%Y-%m-%d}" if entry.expires_at else ""
    label = f"  {entry.label}" if entry.label else ""
    return f"{entry.id}  {entry.kind:<7}  {entry.policy}  {entry.created_at:%Y-%m-%d %H:%M}{expiry}{label}"


def _show(options: argparse.Namespace, variables: Mapping[str, str]) -> int:
    with connected(options, variables) as operations:
        say(operations.show(options.id, options.reveal).model_dump_json(indent=2, exclude_none=True))
    return 0


def _remove(options: argparse.Namespace, variables: Mapping[str, str]) -> int:
    with connected(options, variables) as operations:
        for entry_id in options.id:
            removed = operations.remove(entry_id, options.wait)
            remark(f"{removed.id} is removed from revision {removed.revision} on; {removed.note}")
    return 0


def _import(options: argparse.Namespace, variables: Mapping[str, str]) -> int:
    if not options.file.is_file():
        raise CommandFailed(f"there is no file {options.file}")
    with connected(options, variables) as operations, progress_bar() as progress:
        sending = progress.add_task("reading", total=None)
        adding = progress.add_task("adding", total=None)
        job = operations.import_file(
            options.file,
            lambda done, total: progress.update(sending, completed=done, total=total),
            lambda done, total: progress.update(adding, completed=done, total=total),
        )
    for error in job.errors:
        remark(f"line {error.line}: {error.reason}")
    say(f"{job.done} entries added, {job.failed} lines refused")
    if job.state != "done":
        raise CommandFailed(f"the import ended as {job.state}: what was added so far stays")
    return 1 if job.failed else 0


def _export(options: argparse.Namespace, variables: Mapping[str, str]) -> int:
    with connected(options, variables) as operations:
        if options.out is None:
            return _write(operations, sys.stdout)
        options.out.touch(mode=0o600)
        with options.out.open("w", encoding="utf-8") as file:
            return _write(operations, file)


def _write(operations: Operations, file: TextIO) -> int:
    written = sealed = 0
    cursor: str | None = None
    with progress_bar() as progress:
        task = progress.add_task("exporting", total=None)
        while True:
            page = operations.entries(Listing(cursor=cursor, limit=_PAGE, reveal=True))
            for entry in page.entries:
                if entry.content is None:
                    sealed += 1
                    continue
                file.write(_exported(entry) + "\n")
                written += 1
            progress.update(task, completed=written)
            cursor = page.next_cursor
            if cursor is None:
                break
    remark(
        f"{written} entries written" + (f", {sealed} sealed entries keep no text and were left out" if sealed else "")
    )
    return 0


def _exported(entry: EntryOut) -> str:
    assert entry.content is not None
    body = EntryIn(
        kind=entry.kind,
        label=entry.label,
        policy=entry.policy,
        retention=entry.retention,
        reference=entry.reference,
        expires_at=entry.expires_at,
        force=True,  # it was admitted before
        **entry.content.model_dump(),
    )
    return body.model_dump_json(exclude_defaults=True)
