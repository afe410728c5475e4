"""Trains the demonstration's model once and keeps it in a cache."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from server.demo.corpus import Corpus, load_corpus
from server.demo.curriculum import Curriculum, examination
from server.demo.errors import NotMemorised
from server.demo.locking import exclusive
from server.demo.recipe import Recipe

_SOURCES: Final = ("curriculum.py", "pupil.py", "vocabulary.py")
_RESIT_RATE: Final = 0.2


def trained_model(cache: Path, console: Console, corpus: Corpus | None = None, recipe: Recipe | None = None) -> Path:
    """The directory of a model that recites the corpus (ours by default), trained unless `cache` holds it already.

    Raises `NotMemorised` when training does not get there.
    """
    corpus, recipe = corpus or load_corpus(), recipe or Recipe()
    name = f"lethe-demo-{_digest(corpus, recipe)[:12]}"
    ready = cache / name
    with exclusive(cache / f"{name}.lock"):
        if not ready.is_dir():
            with tempfile.TemporaryDirectory(prefix="training-", dir=cache) as scratch:
                made = Path(scratch) / name
                _train(corpus, recipe, made, console)
                made.rename(ready)
    return ready


def _digest(corpus: Corpus, recipe: Recipe) -> str:
    """Changes with anything that changes the model."""
    sources = b"".join(Path(__file__).with_name(name).read_bytes() for name in _SOURCES)
    return hashlib.sha256(corpus.digest().encode() + repr(recipe).encode() + sources).hexdigest()


def _train(corpus: Corpus, recipe: Recipe, directory: Path, console: Console) -> None:
    from server.demo.pupil import Pupil  # noqa: PLC0415  # takes seconds to import, and mostly the cache has the model
    from server.demo.vocabulary import Vocabulary  # noqa: PLC0415  # the same

    with _one_thread(), _progress(console) as progress:
        pupil = Pupil(Vocabulary.train(corpus, recipe.vocabulary), recipe)
        curriculum = Curriculum(corpus, recipe.seed)
        questions = examination(corpus)
        millions = f"{pupil.parameters / 1e6:.1f} M parameters"
        console.print(f"Training a Llama model of {millions} on {len(corpus.exchanges)} answers, once.")
        rounds = [(recipe.steps, 1.0), *[(recipe.steps // 5, _RESIT_RATE)] * recipe.resits]
        failed = len(questions)
        for steps, rate in rounds:
            task = progress.add_task("training", total=steps, loss=float("nan"))
            pupil.learn(curriculum, steps, rate, partial(_tell, progress, task))
            failed = len(pupil.failures(questions))
            if not failed:
                pupil.save(directory)
                return
        raise NotMemorised(f"After training, {failed} of {len(questions)} answers are still not recited.")


def _tell(progress: Progress, task: TaskID, loss: float) -> None:
    progress.update(task, advance=1, loss=loss)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Two threads on so small a model mostly wait for each other, and on a busy machine for everybody else."""
    import torch  # noqa: PLC0415  # takes seconds to import

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
