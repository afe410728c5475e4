"""The command line. Exit codes: 0 done, 1 refused or failed with a sentence on stderr, 2 usage."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from index.errors import IndexFault
from server.client import ServerRefused
from server.commands import calibrate, check, demo, entries, keys, serve, status
from server.commands.console import CommandFailed, remark
from server.commands.options import apply_environment, options_of
from server.demo.errors import DemoError
from server.settings import Settings, SettingsInvalid, environment, refuse_unknown, variable
from server.sockets import PortTaken

_DESCRIPTION: Final = "Lethe keeps forgotten content out of what a served language model says."
_EPILOG: Final = """getting started:
  lethe demo                                       see it work on this machine
  lethe serve --upstream http://127.0.0.1:8000     put it in front of a model server
  lethe status                                     see where it stands, and what the model server exposes
  lethe entries add --kind fact --prompt "..." -   say what must be forgotten
  lethe check "..."                                see what would be done about a text

Every option --some-name can also be given as the environment variable LETHE_SOME_NAME; flags win.
`lethe COMMAND --help` shows the options of a command with examples.
"""
COMMANDS: Final = (serve, status, entries, check, calibrate, keys, demo)
_REFUSED: Final = (CommandFailed, ServerRefused, IndexFault, PortTaken, DemoError)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="lethe",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.register(commands)
    return parser


def known_variables(parser: argparse.ArgumentParser) -> set[str]:
    """Every environment variable that means something."""
    return {variable(name) for name in Settings.model_fields} | {name for name, _ in options_of(parser)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; answers its exit code."""
    parser = build_parser()
    variables = environment()
    try:
        refuse_unknown(variables, known_variables(parser))
        apply_environment(parser, variables)
        options = parser.parse_args(arguments)
        code: int = options.run(options, variables)
        return code
    except SettingsInvalid as error:
        remark(f"lethe: {error}")
        return 2
    except _REFUSED as error:
        remark(f"lethe: {error}")
        return 1
    except KeyboardInterrupt:
        remark("lethe: interrupted")
        return 1
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has left
        return 1
