"""Run by the interpreter of vLLM's own environment: prints the fields of its protocol models as JSON, without serving.

A model becomes an object of its fields; each of them is the object of the fields that lie inside it, in a list or a
union too, or an empty object where no model says what lies inside. A model inside itself is told once.
"""

from __future__ import annotations

import json
import sys
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Tree = dict[str, Any]


def fields_of(model: Any, above: tuple[Any, ...] = ()) -> Tree:
    """The fields of a pydantic model or of a TypedDict."""
    if model in above:
        return {}
    inside = (*above, model)
    if hasattr(model, "model_fields"):
        told: Tree = {}
        model.model_rebuild()  # names of models that are defined further down become those models
        for name, field in model.model_fields.items():
            if field.exclude:  # vLLM's own note, which it never writes down
                continue
            wire = field.serialization_alias or field.alias or name
            told[wire] = merged(told.get(wire, {}), tree_of(field.annotation, inside))
        return told
    hints = typing.get_type_hints(model, include_extras=True)
    return {name: tree_of(hint, inside) for name, hint in hints.items()}


def is_model(kind: Any) -> bool:
    """True for what has named fields."""
    return isinstance(kind, type) and (hasattr(kind, "model_fields") or typing.is_typeddict(kind))


def tree_of(annotation: Any, above: tuple[Any, ...] = ()) -> Tree:
    """The fields of all models that an annotation names."""
    if is_model(annotation):
        return fields_of(annotation, above)
    if isinstance(annotation, typing.TypeAliasType if hasattr(typing, "TypeAliasType") else ()):
        return tree_of(annotation.__value__, above)
    told: Tree = {}
    for part in typing.get_args(annotation):
        if not isinstance(part, (str, int)):
            told = merged(told, tree_of(part, above))
    return told


def merged(first: Tree, second: Mapping[str, Any]) -> Tree:
    """The fields of either."""
    told = dict(first)
    for name, inside in second.items():
        told[name] = merged(told[name], inside) if name in told else inside
    return told


def by_type(models: Iterable[Any], prefix: str = "") -> Tree:
    """The fields of each of these models that says what it is, by the type that it says."""
    told: Tree = {}
    for model in models:
        kinds = typing.get_args(model.model_fields["type"].annotation) if "type" in hints_of(model) else ()
        for kind in kinds:
            if isinstance(kind, str) and kind.startswith(prefix):
                told[kind] = merged(told.get(kind, {}), fields_of(model))
    return told


def events_of(*modules: Any) -> Tree:
    """The fields of each event that these modules know, by its type."""
    return by_type({found for module in modules for found in vars(module).values() if is_model(found)}, "response.")


def models_in(annotation: Any) -> Iterator[Any]:
    """The models that an annotation names."""
    if is_model(annotation):
        yield annotation
    else:
        for part in typing.get_args(annotation):
            yield from models_in(part)


def parts_of(items: Iterable[Any]) -> Tree:
    """The fields of each part that messages and reasoning are made of, by its type."""
    fields = (hints_of(item).get(name) for item in items for name in ("content", "summary"))
    return by_type(part for field in fields if field is not None for part in models_in(field.annotation))


def hints_of(model: Any) -> Mapping[str, Any]:
    """The fields of a pydantic model, by name."""
    fields: Mapping[str, Any] = getattr(model, "model_fields", {})
    return fields


def main() -> None:
    """Print the fields of the four APIs."""
    from vllm.entrypoints.anthropic import protocol as messages
    from vllm.entrypoints.openai.chat_completion import protocol as chat
    from vllm.entrypoints.openai.completion import protocol as completions
    from vllm.entrypoints.openai.responses import protocol as responses
    from vllm.entrypoints.openai.responses import serving, streaming_events
    from vllm.entrypoints.pooling.classify.protocol import ClassificationResponse
    from vllm.entrypoints.pooling.embed.protocol import EmbeddingResponse
    from vllm.entrypoints.pooling.pooling.protocol import PoolingResponse
    from vllm.entrypoints.pooling.scoring.protocol import RerankResponse, ScoreResponse
    from vllm.entrypoints.serve.engine import protocol as common
    from vllm.entrypoints.serve.tokenize.protocol import DetokenizeResponse, TokenizeResponse

    told = {
        "chat": {
            "request": fields_of(chat.ChatCompletionRequest),
            "body": fields_of(chat.ChatCompletionResponse),
            "event": fields_of(chat.ChatCompletionStreamResponse),
        },
        "completions": {
            "request": fields_of(completions.CompletionRequest),
            "body": fields_of(completions.CompletionResponse),
            "event": fields_of(completions.CompletionStreamResponse),
        },
        "responses": {
            "request": fields_of(responses.ResponsesRequest),
            "body": fields_of(responses.ResponsesResponse),
            "events": events_of(responses, streaming_events, serving),
            "items": by_type(models_in(responses.ResponseOutputItem)),
            "parts": parts_of((responses.ResponseOutputMessage, responses.ResponseReasoningItem)),
        },
        "messages": {
            "request": fields_of(messages.AnthropicMessagesRequest),
            "body": fields_of(messages.AnthropicMessagesResponse),
            "event": fields_of(messages.AnthropicStreamEvent),
        },
        "models": {"body": fields_of(common.ModelList)},
        "side calls": {
            "count_tokens": fields_of(messages.AnthropicCountTokensResponse),
            "embeddings": fields_of(EmbeddingResponse),
            "rerank": fields_of(RerankResponse),
            "score": fields_of(ScoreResponse),
            "classify": fields_of(ClassificationResponse),
            "pooling": fields_of(PoolingResponse),
            "tokenize": fields_of(TokenizeResponse),
            "detokenize": fields_of(DetokenizeResponse),
        },
    }
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
