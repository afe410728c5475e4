"""Writes docs/configuration.md from the declarations, so that the two never differ: `python -m server.reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from server.metrics import DECLARATIONS, Declaration
from server.settings import SECRETS, Settings, flag, variable

_INTRODUCTION = """# Configuration

Every setting of `lethe serve` is a flag or an environment variable; flags win. An unknown variable that begins with
`LETHE_` is an error at start, so that a misspelling is noticed. Secrets have no flag: every user of a machine can read
the flags of a process. What is decided per forget list (actions, thresholds, refusal text, streaming mode) is a policy:
it lives in the store and changes without a restart.

## Settings
"""
_CLIENT = """
Commands that talk to a running server take `--url` (`LETHE_URL`), `--key` (`LETHE_KEY`) and `--namespace`
(`LETHE_NAMESPACE`). Every other option of a command has a variable of the same form: `--some-name` is
`LETHE_SOME_NAME`.

## Metrics

`/metrics` is served on the metrics port. Label values come from closed sets; what is outside is counted as `other`.
"""


def render() -> str:
    """The text of docs/configuration.md."""
    return "\n".join([_INTRODUCTION, *_settings(), _CLIENT, *_metrics()]) + "\n"


def _settings() -> Iterator[str]:
    yield "| flag | variable | default | meaning |"
    yield "|---|---|---|---|"
    for name, field in Settings.model_fields.items():
        shown = "(none)" if name in SECRETS else f"`{flag(name)}`"
        default = "" if field.default in (None, "") else f"`{field.default}`"
        yield f"| {shown} | `{variable(name)}` | {default} | {field.description} |"


def _metrics() -> Iterator[str]:
    yield "| metric | type | labels | meaning |"
    yield "|---|---|---|---|"
    for declared in DECLARATIONS:
        yield f"| `{declared.name}` | {declared.type} | {_labels(declared)} | {declared.help} |"


def _labels(declared: Declaration) -> str:
    return ", ".join(
        f"`{label}`" if values is None else f"`{label}` ({', '.join(values)})"
        for label, values in declared.labels.items()
    )


if __name__ == "__main__":
    sys.stdout.write(render())
