"""`lethe serve`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Final

from server.commands.options import add_settings, given_settings
from server.settings import SECRETS, Settings, load_settings

_EPILOG: Final = """examples:
  lethe serve --upstream http://127.0.0.1:8000
      guard the model server on port 8000; applications use http://127.0.0.1:8080/v1
  LETHE_ADMIN_KEY=... lethe serve --host 0.0.0.0 --store sqlite:////var/lib/lethe/lethe.db
      serve other machines: this needs an access key

secrets come from the environment or from files, never from flags:
  LETHE_ADMIN_KEY           bootstrap key with role admin       (or --admin-key-file)
  LETHE_UPSTREAM_API_KEY    key presented to the model server   (or --upstream-api-key-file)
  LETHE_KEY_ENCRYPTION_KEY  key that wraps the entries' keys    (or --key-file)
"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "serve",
        help="guard a model server",
        description="Start the proxy: applications talk to it instead of to the model server.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_settings(parser, [name for name in Settings.model_fields if name not in SECRETS])
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, variables: Mapping[str, str]) -> int:
    """Serve until a signal ends it."""
    settings = load_settings(given_settings(options), variables)
    if settings.workers > 1:
        from server.workers.supervisor import supervise  # noqa: PLC0415  # only several workers need it

        supervise(settings)
        return 0
    from server.serving import serve  # noqa: PLC0415  # other commands do not need the web framework

    serve(settings)
    return 0
