"""`lethe keys`: access keys, directly on the store."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from index.keys import KeyRing, Role
from index.sqlite import SQLiteStore
from server.access import DEFAULT_NAMESPACE, NAMESPACE_PATTERN
from server.commands.console import CommandFailed, remark, say
from server.commands.options import add_settings, given_settings
from server.settings import load_settings

_EPILOG: Final = """roles:
  app        the application side (/v1) of its namespace
  operator   the operator side (/lethe/v1) of its namespace
  auditor    may read audit, certificates, decisions and status
  admin      everything, in every namespace, and the text of entries

examples:
  lethe keys create --role app --namespace shop
  lethe keys list --store sqlite:////var/lib/lethe/lethe.db
  lethe keys revoke 4f2a9c01d7be
"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "keys",
        help="create, list and revoke access keys",
        description="Access keys live in the store as hashes. A running server knows a change within a second.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a key; it is shown this once")
    create.add_argument("--role", required=True, choices=[role.value for role in Role], help="what the key may do")
    create.add_argument("--namespace", default=DEFAULT_NAMESPACE, metavar="NAME", help="whose forget list it is for")
    create.set_defaults(run=_create)
    listing = actions.add_parser("list", help="show all keys, without their secrets")
    listing.set_defaults(run=_list)
    revoke = actions.add_parser("revoke", help="let a key open nothing any more")
    revoke.add_argument("id", help="the id of the key, as `lethe keys list` shows it")
    revoke.set_defaults(run=_revoke)
    for action in (create, listing, revoke):
        add_settings(action, ["store"])


@contextmanager
def _ring(options: argparse.Namespace, variables: Mapping[str, str]) -> Iterator[KeyRing]:
    settings = load_settings(given_settings(options), variables)
    store = SQLiteStore(settings.store.removeprefix("sqlite:///"))
    try:
        yield KeyRing(store)
    finally:
        store.close()


def _create(options: argparse.Namespace, variables: Mapping[str, str]) -> int:
    if not NAMESPACE_PATTERN.fullmatch(options.namespace):
        raise CommandFailed("a namespace has 1 to 64 letters, digits, dots, dashes or underscores")
    with _ring(options, variables) as ring:
        key, secret = ring.create(Role(options.role), str(options.namespace))
    remark(f"Key {key.id} with role {key.role} for namespace {key.namespace}. It is shown this once:")
    say(secret)
    return 0


def _list(options: argparse.Namespace, variables: Mapping[str, str]) -> int:
    with _ring(options, variables) as ring:
        keys = ring.keys()
    for key in keys:
        made = datetime.fromtimestamp(key.created_at, UTC).strftime("%Y-%m-%d %H:%M")
        state = "active" if key.revoked_at is None else "revoked"
        say(f"{key.id}  {key.role:<8}  {key.namespace:<16}  {made}  {state}")
    if not keys:
        remark("there is no key")
    return 0


def _revoke(options: argparse.Namespace, variables: Mapping[str, str]) -> int:
    with _ring(options, variables) as ring:
        ring.revoke(options.id)
    remark(f"key {options.id} is revoked")
    return 0
