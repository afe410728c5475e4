"""How a window is weighed against a fact."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from guard.claims import Claims, claims_of, compare
from guard.detector import Window
from guard.fingerprint import Shingler
from guard.names import Mentions, agreement
from guard.policy import Rule
from index.claims import hashed_claims
from index.forms import PROMPT_FORMS, Form
from index.matching import BRIEF_WORDS, LONE_STATEMENT, Closeness, Scale, score, upper_score
from index.weighing import Asked, ByRows

CLOSE: Final = 0.1
"""Names are compared from this far below the threshold: further away they change nothing."""

BARE_PENALTY: Final = 0.06
"""Taken from an answer that is a yes or a no and nothing else: only the question can tell what it is about."""

BORNE_OUT: Final = 0.5
"""Share of what a brief answer says that the entry must hold, for the exchange to speak for it."""

_NO_CLAIMS: Final[Mapping[str, Claims[int]]] = MappingProxyType({})


class BriefAnswers:
    """Says whether a brief answer ("In 1958.") says what a fact says. `claims` holds what each fact claims, hashed."""

    def __init__(self, claims: Mapping[str, Claims[int]], shingler: Shingler) -> None:
        self._claims, self._shingler = claims, shingler

    def read(self, window: Window) -> Claims[int]:
        """What an answer claims."""
        return hashed_claims(claims_of([window.text], window.context), self._shingler)

    def penalty(self, entry_id: str, said: Claims[int]) -> float | None:
        """What is taken from the cosine of the exchange that speaks for the fact; None when it does not."""
        known = self._claims.get(entry_id)
        if known is None:
            return None
        found = compare(known, said)
        if found.bare:
            return LONE_STATEMENT + BARE_PENALTY if found.stands_agree else None
        if found.stands_differ or found.numbers_differ or (found.borne or 0.0) < BORNE_OUT:
            return None
        return LONE_STATEMENT


class FactWeigher(ByRows):
    """Statement and exchange together, less a penalty where names and numbers differ.

    A brief answer ("In 1958.") is nothing like a statement. It is weighed by the exchange alone when what it says is
    what the entry says. `mentions` holds what each fact names, `claims` what it claims, both hashed.
    """

    def __init__(self, mentions: Mapping[str, Mentions[int]], claims: Mapping[str, Claims[int]] = _NO_CLAIMS) -> None:
        self._mentions, self._claims = mentions, claims

    def score(self, asked: Asked, rule: Rule, scale: Scale) -> float | None:
        """See `Weigher.score`."""
        by_form = asked.of(rule.entry_id)
        alone = max((by_form[form] for form in PROMPT_FORMS if form in by_form), default=None)
        together = by_form.get(Form.EXCHANGE)
        near = Closeness(alone, together, asked.words)
        value = upper_score(rule.kind, near)
        if value < -0.5:
            return None
        wanted = scale.wanted(rule.kind, rule.policy)
        about = self._mentions.get(rule.entry_id)
        if about is not None and value >= wanted - CLOSE:
            value = score(rule.kind, near, agreement(about, asked.mentions))
        if together is not None and together >= wanted - CLOSE and asked.words < BRIEF_WORDS:
            value = max(value, self._brief(asked, rule.entry_id, together))
        return value

    def _brief(self, asked: Asked, entry_id: str, together: float) -> float:
        """What the exchange is worth when the brief answer in it says what the entry says; below 0 when it does not."""
        brief = BriefAnswers(self._claims, asked.shingler)
        penalty = brief.penalty(entry_id, brief.read(asked.window))
        return -1.0 if penalty is None else together - penalty
