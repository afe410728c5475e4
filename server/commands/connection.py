"""Where a command does its work: a running server (`--url`) or a store (`--store`)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from server.client import Client
from server.commands.operations import Operations
from server.commands.options import FromEnvironment, add_settings, given_settings
from server.commands.remote import Remote
from server.settings import Settings, SettingsInvalid, load_settings

DEFAULT_URL: Final = "http://127.0.0.1:8080"
_STORE_SETTINGS: Final = ["embedder", "embedder_backend", "cache", "key_file", "torch_threads"]


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where."""
    group = parser.add_argument_group("where", "a running server, or its store directly with --store")
    add_server(group)
    group.add_argument("--namespace", metavar="NAME", help="the namespace to work on, for admins (LETHE_NAMESPACE)")
    group.add_argument("--store", metavar="URL", help="work on this store without a server: sqlite:///lethe.db")
    add_settings(parser, _STORE_SETTINGS)


def add_server(group: argparse._ActionsContainer) -> None:
    """Add the options that say which server, and with which key."""
    group.add_argument("--url", metavar="URL", help=f"the server (LETHE_URL; default {DEFAULT_URL})")
    group.add_argument("--key", metavar="KEY", help="access key (better in LETHE_KEY: flags are visible to others)")


def client_of(options: argparse.Namespace, variables: Mapping[str, str], namespace: str | None = None) -> Client:
    """A client of the server that the options name."""
    return Client(options.url or DEFAULT_URL, options.key or variables.get("LETHE_ADMIN_KEY"), namespace)


def uses_store(options: argparse.Namespace) -> bool:
    """True when the command shall work on a store. Raises `SettingsInvalid` when both were given."""
    if options.url is None or options.store is None:
        return options.store is not None
    flags = [not isinstance(value, FromEnvironment) for value in (options.url, options.store)]
    if all(flags):
        raise SettingsInvalid("give --url or --store, not both")
    return flags[1]


def store_settings(options: argparse.Namespace, variables: Mapping[str, str]) -> Settings:
    """The settings that opening a store needs."""
    return load_settings(given_settings(options), variables)


@contextmanager
def connected(options: argparse.Namespace, variables: Mapping[str, str]) -> Iterator[Operations]:
    """The operations that the options ask for."""
    if uses_store(options):
        from server.commands.local import opened  # noqa: PLC0415  # loading the embedder takes seconds

        with opened(store_settings(options, variables), options.namespace) as local:
            yield local
        return
    yield Remote(client_of(options, variables, options.namespace))
