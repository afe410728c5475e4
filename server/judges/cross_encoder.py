"""A cross-encoder in this process as the judge: it reads entry and text together and says how near they are.

Two sorts of model fit. One label: a similarity, 0 to 1. Three labels among them `entailment` and `contradiction`:
natural language inference; what one text entails of the other counts, in either direction, less what they contradict,
so that "neutral" stays undecided.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.errors import StartRefused
from server.judges.judge import JudgeOutcome, Question

_BATCH: Final = 16
_ENTAILMENT, _CONTRADICTION = "entailment", "contradiction"


class JudgeRefused(StartRefused):
    """The judge model cannot be used: not found, or not a model of either sort."""


class CrossEncoderModel:
    """A sentence-transformers CrossEncoder. Calls take turns: its tokenizer is not thread-safe."""

    inside: Final = True

    def __init__(self, model: Any, name: str) -> None:
        self.version = f"cross-encoder {name}"
        self._model, self._turn = model, threading.Lock()
        self._labels = None if model.num_labels == 1 else _labels_of(model.config.id2label, name)

    def close(self) -> None:
        """Nothing is held."""

    def ask(self, questions: Sequence[Question], timeout_s: float) -> Sequence[float | JudgeOutcome]:
        """Scores in one batch. A pair that the model would have to cut is too long: it would judge half a text."""
        pairs = [(_said(q.told.prompt, q.told.text), _said(q.context, q.text)) for q in questions]
        with self._turn:
            fits = [i for i, pair in enumerate(pairs) if self._fits(pair)]
            scores = self._scores([pairs[i] for i in fits]) if fits else ()
        answers: list[float | JudgeOutcome] = [JudgeOutcome.TOO_LONG] * len(questions)
        for i, score in zip(fits, scores, strict=True):
            answers[i] = float(score)
        return answers

    def _fits(self, pair: tuple[str, str]) -> bool:
        longest = self._model.max_seq_length
        return longest is None or len(self._model.tokenizer(*pair, truncation=False)["input_ids"]) <= longest

    def _scores(self, pairs: list[tuple[str, str]]) -> NDArray[np.float64]:
        if self._labels is None:
            return np.clip(self._predict(pairs, False), 0.0, 1.0)
        there, back = self._predict(pairs, True), self._predict([(b, a) for a, b in pairs], True)
        best = np.maximum(there, back)[:, self._labels]
        scores: NDArray[np.float64] = 0.5 + (best[:, 0] - best[:, 1]) / 2
        return scores

    def _predict(self, pairs: list[tuple[str, str]], softmax: bool) -> NDArray[np.float64]:
        said = self._model.predict(pairs, batch_size=_BATCH, show_progress_bar=False, apply_softmax=softmax)
        return np.asarray(said, dtype=np.float64)


def _said(question: str, text: str) -> str:
    return f"{question} {text}".strip()


def _labels_of(id2label: Mapping[int, str], name: str) -> list[int]:
    """Where `entailment` and `contradiction` stand among the labels."""
    places = {str(label).lower(): int(at) for at, label in id2label.items()}
    if _ENTAILMENT not in places or _CONTRADICTION not in places:
        raise JudgeRefused(
            f"{name} cannot be the judge: it has neither one label (a similarity) nor the labels "
            f"{_ENTAILMENT} and {_CONTRADICTION}"
        )
    return [places[_ENTAILMENT], places[_CONTRADICTION]]


def load_cross_encoder(name_or_path: str) -> CrossEncoderModel:
    """The CrossEncoder of that name or folder. Takes seconds. Raises `JudgeRefused`."""
    from sentence_transformers import CrossEncoder  # noqa: PLC0415  # torch takes seconds, and mostly none is needed

    try:
        model = CrossEncoder(name_or_path, device="cpu")
    except (OSError, ValueError):
        raise JudgeRefused(
            f"the judge model {name_or_path} cannot be loaded: give the name or folder of a cross-encoder"
        ) from None
    return CrossEncoderModel(model, name_or_path)
