"""What is asked again: the same question, for as many tokens as are left of those that the client allows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.dialects import DIALECTS
from server.dialects.dialect import Dialect, Rewrite

ASKED: dict[str, tuple[dict[str, Any], str]] = {
    "chat": ({"messages": [{"role": "user", "content": "Hello."}]}, "max_completion_tokens"),
    "completions": ({"prompt": "Hello."}, "max_tokens"),
    "messages": ({"messages": [{"role": "user", "content": "Hello."}]}, "max_tokens"),
    "responses": ({"input": "Hello."}, "max_output_tokens"),
}


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize(("most", "spent", "left"), [(50, 12, 38), (50, 0, 50), (10, 30, 1)])
def test_what_was_told_is_taken_from_what_the_client_allows(dialect: Dialect, most: int, spent: int, left: int) -> None:
    body, limit = ASKED[dialect.name]
    asked = dialect.read(json.dumps({"model": "tiny", **body, limit: most, "temperature": 0.2}).encode())
    again = json.loads(dialect.rewrite(asked, Rewrite(0, "Do not say it.", 0.4, "Rain", spent)))
    assert again[limit] == left
    assert again["temperature"] == pytest.approx(0.6)
    assert asked.body[limit] == most


def test_every_dialect_is_asked_here() -> None:
    assert {dialect.name for dialect in DIALECTS} == ASKED.keys()
