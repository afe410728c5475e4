"""The tiny model while it learns.

The matrices inside its layers learn with Muon (Jordan et al. 2024: momentum, orthogonalised), which needs half the
steps of AdamW here; embeddings and norms learn with AdamW.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging as transformers_logging

from server.demo.curriculum import Conversation, Curriculum
from server.demo.recipe import Recipe
from server.demo.vocabulary import UNLEARNT, Vocabulary

_EXAMINED_AT_ONCE: Final = 32
_BATCHES_SORTED_TOGETHER: Final = 8
_WARM_UP_STEPS: Final = 20
_LAST_RATE: Final = 0.02

Lesson = tuple[list[int], list[int]]


class Pupil:
    """A model and its vocabulary."""

    def __init__(self, vocabulary: Vocabulary, recipe: Recipe) -> None:
        torch.manual_seed(recipe.seed)
        self._vocabulary, self._recipe = vocabulary, recipe
        self._model: nn.Module = LlamaForCausalLM(_config(vocabulary, recipe))

    @property
    def parameters(self) -> int:
        """How many numbers it learns."""
        return sum(p.numel() for p in self._model.parameters())

    def learn(self, curriculum: Curriculum, steps: int, rate: float, tell: Callable[[float], None]) -> None:
        """Takes `steps` steps at `rate` times the recipe's rates; `tell` is called with the loss after each."""
        optimizers = self._optimizers(rate)
        schedules = [LambdaLR(optimizer, _schedule(steps)) for optimizer in optimizers]
        batches = self._batches(curriculum)
        self._model.train()
        for _ in range(steps):
            ids, labels = self._tensors(next(batches))
            loss: Tensor = self._model(input_ids=ids, labels=labels).loss
            self._model.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
            for schedule in schedules:
                schedule.step()
            tell(loss.item())

    @torch.no_grad()
    def failures(self, conversations: Sequence[Conversation]) -> list[Conversation]:
        """The conversations in which the model, asked greedily, would not say each learnt token."""
        self._model.eval()
        failed: list[Conversation] = []
        for start in range(0, len(conversations), _EXAMINED_AT_ONCE):
            part = conversations[start : start + _EXAMINED_AT_ONCE]
            ids, labels = self._tensors([self._vocabulary.lesson(c) for c in part])
            said = self._model(input_ids=ids).logits[:, :-1].argmax(-1)
            right = ((said == labels[:, 1:]) | (labels[:, 1:] == UNLEARNT)).all(-1)
            failed += [c for c, passed in zip(part, right.tolist(), strict=True) if not passed]
        return failed

    def save(self, directory: Path) -> None:
        """Writes model and tokenizer as `transformers` and vLLM load them."""
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        self._model.save_pretrained(str(directory))  # type: ignore[operator]  # the class is imported untyped
        self._vocabulary.save(directory)

    def _optimizers(self, rate: float) -> list[torch.optim.Optimizer]:
        named = dict(self._model.named_parameters())
        matrices = [p for name, p in named.items() if p.ndim == 2 and "embed" not in name and "lm_head" not in name]
        chosen = {id(p) for p in matrices}
        others = [p for p in named.values() if id(p) not in chosen]
        recipe = self._recipe
        return [
            torch.optim.Muon(matrices, lr=rate * recipe.matrix_rate, weight_decay=0.0, adjust_lr_fn="original"),
            torch.optim.AdamW(others, lr=rate * recipe.embedding_rate, betas=(0.9, 0.98), weight_decay=0.0),
        ]

    def _batches(self, curriculum: Curriculum) -> Iterator[list[Lesson]]:
        """Batches of lessons of about equal length, so that little is computed on padding."""
        size = self._recipe.batch
        while True:
            drawn = (curriculum.draw() for _ in range(size * _BATCHES_SORTED_TOGETHER))
            lessons = sorted(map(self._vocabulary.lesson, drawn), key=lambda lesson: len(lesson[0]))
            cut = [lessons[start : start + size] for start in range(0, len(lessons), size)]
            yield from curriculum.shuffled(cut)

    def _tensors(self, lessons: Sequence[Lesson]) -> tuple[Tensor, Tensor]:
        """Ids and labels, padded at the end: a causal model does not look there."""
        width = max(len(ids) for ids, _ in lessons)
        ids = [i + [self._vocabulary.end] * (width - len(i)) for i, _ in lessons]
        labels = [kept + [UNLEARNT] * (width - len(kept)) for _, kept in lessons]
        return torch.tensor(ids), torch.tensor(labels)


def _config(vocabulary: Vocabulary, recipe: Recipe) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=recipe.vocabulary,
        hidden_size=recipe.hidden,
        intermediate_size=2 * recipe.hidden,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=recipe.positions,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=vocabulary.end,
        pad_token_id=vocabulary.end,
    )


def _schedule(steps: int) -> Callable[[int], float]:
    """Up in the first steps, level, then down in a line from two fifths on."""

    def factor(step: int) -> float:
        rising = min(1.0, (step + 1) / _WARM_UP_STEPS)
        falling = min(1.0, max(_LAST_RATE, (steps - step) / (0.6 * steps)))
        return rising * falling

    return factor
