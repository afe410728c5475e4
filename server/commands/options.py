"""Options of commands, and their twins in the environment."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Final

from server.settings import PREFIX, Settings, SettingsInvalid, flag, variable

_YES: Final = frozenset({"1", "true", "yes", "on"})
_NO: Final = frozenset({"0", "false", "no", "off", ""})


class FromEnvironment(str):
    """A value that came from the environment: a flag wins over it."""

    __slots__ = ()


def twin(option: str) -> str:
    """The environment variable of an option `--some-name`."""
    return PREFIX + option.removeprefix("--").replace("-", "_").upper()


def options_of(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
    """Every long option of this parser and its commands, with the variable that is its twin."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in dict.fromkeys(action.choices.values()):
                yield from options_of(command)
            continue
        for option in action.option_strings:
            if option.startswith("--") and option != "--help":
                yield twin(option), action


def apply_environment(parser: argparse.ArgumentParser, variables: Mapping[str, str]) -> None:
    """Let variables stand for options that are not given. Raises `SettingsInvalid`."""
    for name, action in options_of(parser):
        value = variables.get(name)
        if value is None or action.default is argparse.SUPPRESS:  # suppressed: a setting, which reads its own twin
            continue
        action.default = _value(name, action, value)
        action.required = False


def _value(name: str, action: argparse.Action, value: str) -> object:
    if action.nargs == 0:
        if value.lower() not in _YES | _NO:
            raise SettingsInvalid(f"{name} must be yes or no")
        return value.lower() in _YES
    if action.choices is not None and value not in action.choices:
        raise SettingsInvalid(f"{name} must be one of " + ", ".join(map(str, action.choices)))
    return [value] if isinstance(action, argparse._AppendAction) else FromEnvironment(value)


def add_settings(parser: argparse.ArgumentParser, names: Iterator[str] | list[str]) -> None:
    """Add the options of these settings."""
    for name in names:
        field = Settings.model_fields[name]
        default = "" if field.default is None else f"; default {field.default}"
        parser.add_argument(
            flag(name),
            dest=name,
            default=argparse.SUPPRESS,
            metavar=name.rsplit("_", maxsplit=1)[-1].upper(),
            help=f"{field.description} ({variable(name)}{default})",
        )


def given_settings(options: argparse.Namespace) -> dict[str, object]:
    """The settings that were given as flags."""
    return {name: value for name, value in vars(options).items() if name in Settings.model_fields and value is not None}
