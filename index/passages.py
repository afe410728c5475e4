"""How a window is weighed against a passage."""

from __future__ import annotations

from guard.policy import Rule
from index.forms import PROMPT_FORMS, Form
from index.matching import Closeness, Scale, upper_score
from index.weighing import Asked, ByRows


class PassageWeigher(ByRows):
    """The statement alone, a little less for a window of few words."""

    def score(self, asked: Asked, rule: Rule, scale: Scale) -> float | None:
        """See `Weigher.score`."""
        near = asked.of(rule.entry_id)
        alone = max((near[form] for form in PROMPT_FORMS if form in near), default=None)
        if alone is None:
            return None
        return upper_score(rule.kind, Closeness(alone, near.get(Form.EXCHANGE), asked.words))
