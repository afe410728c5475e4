"""The bodies of the plug points: other people's contracts, so fields that are not named here are let be."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from server.schemas.base import LONGEST_TEXT, Schema

Judged = Annotated[str, StringConstraints(max_length=LONGEST_TEXT)]
Object = dict[str, Any]  # JSON whose shape is the caller's affair


class _Foreign(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class LiteLLMIn(_Foreign):
    """What LiteLLM's generic guardrail sends: the texts of a request or of a response.

    `structured_messages` are the request's messages. `litellm_call_id` names the call that both belong to.
    """

    input_type: Literal["request", "response"]
    texts: list[Judged] | None = None
    tool_calls: list[Object] | None = None
    structured_messages: list[Object] | None = None
    litellm_call_id: Annotated[str, StringConstraints(max_length=200)] | None = None


class LiteLLMOut(Schema):
    """What LiteLLM shall do: go on (`NONE`), go on with `texts`, or refuse for `blocked_reason`.

    `stream_holdback_chars`: per text, the characters at its end that must wait while more of a stream is to come.
    """

    action: Literal["NONE", "BLOCKED", "GUARDRAIL_INTERVENED"]
    blocked_reason: str | None = None
    texts: list[str] | None = None
    stream_holdback_chars: list[int] | None = None


class DetectorParams(_Foreign):
    """How `contents` are to be judged: as answers of a model to `prompt`, or as what a client asks."""

    side: Literal["answer", "prompt"] = "answer"
    prompt: Judged = ""


class ContentsIn(_Foreign):
    """What the FMS detector API sends: texts that are judged one by one."""

    contents: Annotated[list[Judged], Field(max_length=1_000)]
    detector_params: DetectorParams | None = None


class DetectionOut(Schema):
    """contents[i][start:end], in characters, would be withheld.

    `text` is empty: gateways repeat it to whoever asked. `score` is 1.0 and `detection` the same whatever was found.
    """

    start: int
    end: int
    text: Literal[""] = ""
    detection: Literal["suppressed"] = "suppressed"
    detection_type: Literal["lethe"] = "lethe"
    score: float = 1.0


class DetectorError(Schema):
    """An error in the form of the FMS detector API."""

    code: str
    message: str
