"""The embedding stage and the claims review over a list of facts, put together without the rest of a server."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.dataset import Answer
from guard.cascade import Cascade, Review, Stage
from guard.claims import Claims, claims_of
from guard.detector import Evidence, Suspect
from guard.fingerprint import Shingler
from guard.policy import Policy, Rule
from guard.verdict import Kind, Side
from guard.windows import windows_of
from index.calibration import shipped
from index.claims import SAME_CLAIM, ClaimReviewer, hashed_claims
from index.embedder import Embedder, Vectors
from index.embedding import EmbeddingDetector, Known
from index.entry import Content
from index.facts import FactWeigher
from index.forms import ANSWER_FORMS, Form
from index.imprint import Imprint, Imprinter
from index.matching import Scale
from index.vectors import Row, VectorTable


@dataclass(frozen=True, slots=True)
class FactStage:
    """Facts as entries "0", "1", …, the detector that comes near them and the reviewer that looks again."""

    embedder: Embedder
    shingler: Shingler
    contents: Sequence[Content]
    imprints: Sequence[Imprint]
    claims: Mapping[str, Claims[int]]
    detector: EmbeddingDetector
    reviewer: ClaimReviewer
    threshold: float

    @classmethod
    def of(cls, embedder: Embedder, contents: Sequence[Content], rule_of_claims: bool = True) -> FactStage:
        """The stage for these facts, with the shipped threshold of the embedder."""
        shingler = Shingler(bytes(range(32)))
        imprints = Imprinter(embedder, shingler).imprint([(Kind.FACT, content) for content in contents])
        names = [str(i) for i in range(len(contents))]
        claims = {
            name: hashed_claims(claims_of((c.text, *c.examples), c.prompt), shingler)
            for name, c in zip(names, contents, strict=True)
        }
        rows = {
            form: [
                (name, vector)
                for name, made in zip(names, imprints, strict=True)
                for mark, vector in zip(made.marks, made.vectors, strict=True)
                if mark.form is form
            ]
            for form in Form
        }
        own: dict[tuple[Form, str], Vectors] = {}
        for form, pairs in rows.items():
            for name in names:
                found = [vector for owner, vector in pairs if owner == name]
                own[form, name] = np.array(found, dtype=np.float32).reshape(-1, embedder.dimensions)
        tables = {
            form: VectorTable.built(
                [Row(name, Kind.FACT) for name, _ in rows[form]],
                np.array([vector for _, vector in rows[form]], dtype=np.float32).reshape(-1, embedder.dimensions),
            )
            for form in ANSWER_FORMS
        }
        calibration = shipped(embedder.hash)
        if calibration is None:
            raise SystemExit("no thresholds ship for this embedder: use the bundled one")
        scale = Scale.of(calibration.values_of(Side.ANSWER), [Policy()])
        mentions = {name: made.mentions for name, made in zip(names, imprints, strict=True)}
        weigher = FactWeigher(mentions, claims) if rule_of_claims else FactWeigher(mentions)
        known = Known(tables, {name: Rule(name, Kind.FACT, Policy()) for name in names}, {Kind.FACT: weigher})
        return cls(
            embedder=embedder,
            shingler=shingler,
            contents=contents,
            imprints=imprints,
            claims=claims,
            detector=EmbeddingDetector(embedder, known, scale, shingler),
            reviewer=ClaimReviewer(embedder, lambda form, entry: own[form, entry], claims, shingler),
            threshold=scale.convict_at[Kind.FACT],
        )

    def convicted(self, answer: Answer) -> tuple[set[str], set[str]]:
        """The entries that the embedding alone convicts an answer of, and those that the review leaves."""
        windows = windows_of(answer.text, context=answer.prompt)
        at = {Kind.FACT: self.threshold}
        stage = Stage(self.detector, convict_at=at, clear_below=at)
        same = {Kind.FACT: SAME_CLAIM}
        sets = []
        for reviews in ((), (Review(self.reviewer, same, same),)):
            findings, _ = Cascade((stage,), lambda match: False, reviews).judge(windows, time.perf_counter)
            sets.append({match.entry_id for finding in findings for match in (*finding.matches, *finding.suspects)})
        return sets[0], sets[1]

    def whole_cosine(self, text: str, entry_id: str) -> float:
        """The cosine of a whole answer and the whole text of an entry."""
        both = self.embedder.encode([text.strip(), self.contents[int(entry_id)].text.strip()])
        return float(both[0] @ both[1])

    def warm(self, answers: Sequence[Answer]) -> None:
        """Compute all vectors of these answers at once."""
        self.detector.find([w for a in answers for w in windows_of(a.text, context=a.prompt)])
        self.embedder.encode([text for a in answers for text in (a.text.strip(), a.prompt) if text])

    def review_seconds(self, answers: Sequence[Answer]) -> tuple[float, int]:
        """Seconds to review all windows of these answers against one entry each, and how many those are."""
        windows = [w for a in answers for w in windows_of(a.text, context=a.prompt)]
        suspects = [Suspect(w, (Evidence("0", Kind.FACT, 1.0, w.start, w.end),)) for w in windows]
        started = time.perf_counter()
        self.reviewer.review(suspects)
        return time.perf_counter() - started, len(suspects)
