"""What is read of a request for a response."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.dialects.dialect import Asked, Rewrite
from server.dialects.option_table import GUARD, STRIP, Surface, Treatment
from server.dialects.responses import ResponsesDialect
from server.dialects.responses_ids import BoundIds
from server.faults import NoSuchRoute, RequestRefused

IDS = BoundIds(b"k" * 32, "default", "anna")
ITEMS: list[dict[str, Any]] = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": [{"type": "input_text", "text": "What of the harbour?"}]},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me look."}]},
    {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Look."}]},
    {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"at": "quay"}'},
    {"type": "function_call_output", "call_id": "call_1", "output": "A ship lies there."},
    {"type": "custom_tool_call_output", "call_id": "call_2", "output": "Gulls."},
]


def read(surface: Surface | None = None, ids: BoundIds | None = None, **body: Any) -> Asked:
    dialect = ResponsesDialect(surface or Surface({}), ids)
    return dialect.read(json.dumps({"model": "tiny", "input": "Well?", **body}).encode())


def test_every_text_of_the_conversation_is_read() -> None:
    asked = read(input=ITEMS, instructions="Be brief.", stream=True, chat_template_kwargs={"tone": "calm"})
    said = "\n".join(asked.texts)
    for text in ("Be brief.", "Be kind.", "the harbour", "Let me look.", "Look.", "look", "quay", "A ship", "calm"):
        assert text in said
    assert asked.questions == ("What of the harbour?",)
    assert asked.supplied == ("What of the harbour?", "A ship lies there.", "Gulls.")
    assert (asked.model, asked.stream, asked.include_usage, asked.continuous_usage) == ("tiny", True, True, False)


def test_a_string_is_the_users_turn() -> None:
    asked = read()
    assert (asked.texts, asked.supplied, asked.questions) == (("Well?",), ("Well?",), ("Well?",))
    assert json.loads(asked.forward) == {"model": "tiny", "input": "Well?", "store": False}


def test_a_grammar_is_judged_with_the_prompt() -> None:
    schema = {"type": "object", "properties": {"x": {"enum": ["The copper treaty"]}}}
    asked = read(text={"format": {"type": "json_schema", "name": "s", "schema": schema}})
    assert any("The copper treaty" in text for text in asked.texts) and asked.supplied == ("Well?",)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": 3}, "input"),
        ({"input": ["x"]}, "input[0]"),
        ({"stream": "yes"}, "stream"),
        ({"vllm_xargs": {"a": 1}}, "vllm_xargs"),
        ({"kv_transfer_params": {"a": 1}}, "kv_transfer_params"),
        ({"previous_input_messages": [{"role": "user"}]}, "previous_input_messages"),
        ({"chat_template_kwargs": {"chat_template": "x"}}, "chat_template"),
        ({"input": [{"role": "assistant", "content": "The", "status": "in_progress"}]}, "input[0].status"),
        ({"input": [{"type": "reasoning", "content": [], "status": "incomplete"}]}, "input[0].status"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input[0].content[0]"),
        ({"input": [{"type": "function_call_output", "output": [{"type": "input_file"}]}]}, "input[0].output[0]"),
        ({"background": True}, "background"),
        ({"store": True}, "store"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
    ],
)
def test_what_may_not_be_asked_for_is_refused_by_name(body: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        read(**body)
    assert refused.value.param == param


def test_what_reveals_more_than_the_answer_is_taken_out() -> None:
    asked = read(
        include=["message.output_text.logprobs", "reasoning.encrypted_content"],
        **{"top_logprobs": 5, "enable_response_messages": True, "priority": 3, "request_id": "resp_mine"},
    )
    sent = json.loads(asked.forward)
    assert sent["include"] == ["reasoning.encrypted_content"]
    assert not {"top_logprobs", "enable_response_messages", "priority", "request_id"} & sent.keys()
    assert set(asked.stripped) == {"include", "top_logprobs", "enable_response_messages", "priority", "request_id"}


def test_the_operator_may_treat_options_otherwise() -> None:
    changed: dict[str, Treatment] = {"continue_final_message": STRIP, "images": STRIP}
    image = {"type": "input_image", "image_url": "x"}
    items = [
        {"role": "user", "content": [image, {"type": "input_text", "text": "Well?"}]},
        {"type": "message", "role": "assistant", "status": "incomplete", "content": "The"},
    ]
    sent = json.loads(read(Surface(changed), input=items).forward)["input"]
    assert sent[0]["content"] == [{"type": "input_text", "text": "Well?"}] and sent[1]["status"] == "completed"
    asked = read(Surface({"continue_final_message": GUARD}), input=[items[1]])
    assert json.loads(asked.forward)["input"][0]["status"] == "incomplete" and "The" in asked.texts


def test_a_kept_response_is_known_to_its_principal_alone() -> None:
    told = IDS.bind("resp_1")
    asked = read(ids=IDS, previous_response_id=told, store=True, background=True)
    sent = json.loads(asked.forward)
    assert sent["previous_response_id"] == "resp_1" and sent["store"] and sent["background"]
    assert asked.supplied == ()  # what was said before is not known here
    for other in (BoundIds(b"k" * 32, "default", "bert"), BoundIds(b"k" * 32, "other", "anna")):
        with pytest.raises(NoSuchRoute):
            read(ids=other, previous_response_id=told)
    for forged in ("resp_1", "resp_2" + told[6:], told + "0", "é" + told, "_", "x" * 400):
        with pytest.raises(NoSuchRoute):
            read(ids=IDS, previous_response_id=forged)


def test_another_answer_is_asked_for_whole_without_tools_and_is_not_kept() -> None:
    tools = [{"type": "function", "name": "look", "parameters": {}}]
    asked = read(ids=IDS, instructions="Be brief.", stream=True, store=True, background=True, tools=tools, seed=1)
    dialect = ResponsesDialect(ids=IDS)
    sent = json.loads(dialect.rewrite(asked, Rewrite(0, "Say other things.", 0.4)))
    assert not {"stream", "background", "tools", "seed"} & sent.keys()
    assert (sent["store"], sent["instructions"]) == (False, "Be brief.\n\nSay other things.")
    assert sent["temperature"] == pytest.approx(1.4) and sent["input"] == "Well?"
    begun = json.loads(dialect.rewrite(asked, Rewrite(0, "Say other things.", begun="Rain falls")))
    assert begun["input"][0] == {"role": "user", "content": "Well?"}
    assert begun["input"][1]["content"][0]["text"] == "Rain falls" and begun["input"][1]["status"] == "in_progress"
