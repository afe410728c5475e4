"""Writes docs/request-options.md from the tables, so that they never differ: `python -m server.request_reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from server.dialects import KINDS
from server.dialects.option_table import OPTIONS, USUAL, Option
from server.side_calls import SIDE_CALLS

_INTRODUCTION = """# Request options

Some options of a request reveal text that no channel guards, or force the model's words. Each is treated in one of
four ways. The operator changes a treatment with `LETHE_REQUEST_OPTIONS`, for example
`LETHE_REQUEST_OPTIONS="logprobs=guard,logit_bias=refuse,images=pass"`; an unknown option, or a treatment that an option
cannot have, is an error at start.

- `strip`: the option is taken out, and the answer comes without it. Its name is in the log line of the request.
- `refuse`: the request is answered with status 400 and code `option_not_allowed`.
- `guard`: the option stays. The text that it brings (the strings of a grammar, a stop string) is judged with the
  prompt, what it makes the model say is judged as every answer.
- `pass`: the option stays, and nobody here can read what it brings. The answer is judged all the same.

Fields of a request that no list names are taken out before the request goes up, with their names in its log line;
`LETHE_UNKNOWN_FIELDS=refuse` answers 400 with code `unknown_field` instead. `images`, `audio`, `video`, `files`,
`token_prompts` and `assistant_prefix` are no fields: they name kinds of parts and prompts.

With `logprobs=guard` the log probabilities of the chosen tokens leave in those events whose tokens spell exactly the
text that leaves in them, and are null in all others; alternatives and token numbers never leave.

## Options
"""
_MODELS = """
## Models

A client may ask for the models that the model server lists without a `parent`. Adapters, which it lists with one, are
hidden from `/v1/models` and answered with 404 unless `LETHE_ADAPTERS` names them; `LETHE_ADAPTERS=*` lets clients ask
for any name. The list is asked for at most every ten seconds; while it cannot be had, requests are refused.

## Side calls

Calls beside the guarded ones are off (404) unless `LETHE_SIDE_CALLS` turns them on, for example
`LETHE_SIDE_CALLS="embeddings=pass,tokenize=guard"`. With `pass` the known fields of a request go up as they are; with
`guard` its texts are judged like a prompt first, and 400 with code `content_filter` is the answer to what may not be
asked. Answers hold known fields only, and their texts are judged as every answer.
"""


def render() -> str:
    """The text of docs/request-options.md."""
    return "\n".join([_INTRODUCTION, *_options(), _MODELS, *_side_calls()]) + "\n"


def _options() -> Iterator[str]:
    yield "| option | default | it may also be | why |"
    yield "|---|---|---|---|"
    for name, option in OPTIONS.items():
        yield f"| `{name}` | `{option.treatment}` | {_others(option)} | {option.why} |"


def _others(option: Option) -> str:
    return ", ".join(f"`{other}`" for other in option.allowed if other is not option.treatment)


def _side_calls() -> Iterator[str]:
    apis = {kind(USUAL).name for kind in KINDS}
    yield "| call | paths | default | errors in the words of |"
    yield "|---|---|---|---|"
    for call in SIDE_CALLS:
        paths = ", ".join(f"`{path}`" for path in call.paths)
        yield f"| `{call.name}` | {paths} | `{call.usual}` | `{call.dialect if call.dialect in apis else 'chat'}` |"


if __name__ == "__main__":
    sys.stdout.write(render())
