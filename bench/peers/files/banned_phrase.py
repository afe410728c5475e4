"""A custom guardrail for LiteLLM: one banned phrase in an answer, also across the pieces of a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from litellm.integrations.custom_guardrail import CustomGuardrail

BANNED = "the vault code for"
KEEP = len(BANNED) - 1


class BannedPhrase(CustomGuardrail):
    """Replaces what holds the phrase. Everything else passes."""

    async def async_post_call_success_hook(self, data: Any, user_api_key_dict: Any, response: Any) -> Any:
        """A whole answer."""
        for choice in response.choices:
            if BANNED in (choice.message.content or "").lower():
                choice.message.content = "[blocked]"
                choice.finish_reason = "content_filter"
        return response

    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: Any, response: Any, request_data: Any
    ) -> AsyncIterator[Any]:
        """A stream."""
        tail = ""
        async for chunk in response:
            text = chunk.choices[0].delta.content if chunk.choices else None
            if text:
                tail += text.lower()
                if BANNED in tail:
                    chunk.choices[0].delta.content = "[blocked]"
                    chunk.choices[0].finish_reason = "content_filter"
                    yield chunk
                    return
                tail = tail[-KEEP:]
            yield chunk
