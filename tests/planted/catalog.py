"""The answers of every dialect. A new dialect is one line here."""

from __future__ import annotations

from typing import Final

from tests.planted.answers import CHAT, COMPLETIONS
from tests.planted.messages_answers import MESSAGES
from tests.planted.responses_answers import RESPONSES

ANSWERS: Final = {answers.dialect: answers for answers in (CHAT, COMPLETIONS, MESSAGES, RESPONSES)}
