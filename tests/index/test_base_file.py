"""The stored snapshot: what it gives back, what makes it useless, and that nothing but ciphertext is in it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from guard.detector import Window
from guard.verdict import Kind
from index import inverted, vectors
from index.base import Base, OwnBases, opened, pack
from index.base_file import CHUNK, BaseFile
from index.calibration import calibration_for
from index.embedder import Embedder
from index.entry import Change, Draft
from index.forget_index import ForgetIndex
from index.instruments import Instruments
from index.sealing import Sealer
from index.sqlite import SQLiteStore
from index.static import StaticModel
from tests.index.kill_storm import record

KEK = bytes(range(32))
ROOT = Path(__file__).resolve().parents[2]
KILLS = 40
PASSAGE = (
    "The ferry left the island before the fog had lifted, and nobody on deck said a word until the first bell. An old "
    "woman had brought two baskets of pears, which she kept under her coat as if they were cold. When the harbour came "
    "into view the captain asked her whether she would stay this time."
)
NUMBERS = np.arange(CHUNK // 2, dtype=np.int64)  # four chunks


@pytest.fixture
def opened_store(path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(path)
    yield store
    store.close()


@pytest.fixture
def file(opened_store: SQLiteStore) -> BaseFile:
    return BaseFile(opened_store, Sealer(KEK), "basis")


def written(file: BaseFile, revision: int = 0) -> bool:
    base = pack(revision, {"secret": "Tonnerre de Brest", "numbers": NUMBERS})
    kept = file.write(base)
    base.close()
    return kept


def on_disk(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*.snapshot-*"))


def numbers(base: Base | None) -> np.ndarray:
    assert base is not None
    found: np.ndarray = opened(base)["numbers"]
    base.close()
    return found


def test_a_base_comes_back_as_it_was_written_and_its_file_is_ciphertext(file: BaseFile, path: Path) -> None:
    assert file.missing and file.read() is None
    assert written(file)
    assert not file.missing
    assert (numbers(file.read()) == NUMBERS).all()
    (stored,) = on_disk(path)
    assert stored.stat().st_mode & 0o777 == 0o600
    data = stored.read_bytes()
    assert b"Tonnerre" not in data and NUMBERS[1000:1010].tobytes() not in data and b"manifest" not in data


def test_the_file_before_is_removed_and_so_are_strangers(file: BaseFile, path: Path) -> None:
    written(file)
    before = on_disk(path)
    (path.parent / f"{path.name}.snapshot-0000").write_bytes(b"half a file of a writer that was killed")
    written(file)
    after = on_disk(path)
    assert len(after) == 1 and after != before


@pytest.mark.parametrize("damage", ["cut", "flipped", "swapped", "empty", "foreign"])
def test_a_damaged_file_is_not_used_and_nothing_of_it_is_logged(
    file: BaseFile, path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    written(file)
    (stored,) = on_disk(path)
    data = bytearray(stored.read_bytes())
    middle = len(data) // 2
    if damage == "cut":
        del data[middle:]
    elif damage == "flipped":
        data[middle] ^= 1
    elif damage == "swapped":
        size = CHUNK + 16
        start = len(data) - 2 * size
        data[start:] = data[start + size :] + data[start : start + size]
    elif damage == "empty":
        data.clear()
    else:
        data = bytearray(b"SQLite format 3" * 1000)
    stored.write_bytes(data)
    with caplog.at_level(logging.INFO):
        assert file.read() is None
    assert "making the index from the store" in caplog.text and "Tonnerre" not in caplog.text


def test_a_file_of_another_basis_or_key_is_not_used(file: BaseFile, opened_store: SQLiteStore) -> None:
    written(file)
    assert BaseFile(opened_store, Sealer(KEK), "another").read() is None
    assert BaseFile(opened_store, Sealer(bytes(32)), "basis").read() is None
    assert (numbers(file.read()) == NUMBERS).all()


def test_a_snapshot_of_a_revision_before_content_was_destroyed_is_not_kept(
    file: BaseFile, opened_store: SQLiteStore, path: Path
) -> None:
    opened_store.add([record("a", "a", 10), record("b", "b", 10)])
    assert written(file, 1)
    opened_store.remove("ns", "a")
    assert opened_store.snapshot_key() is None and file.missing and file.read() is None
    assert not written(file, 1), "it still holds what was removed"
    assert written(file, 2)
    assert len(on_disk(path)) == 1


def test_whenever_a_writer_is_killed_a_snapshot_that_can_be_read_is_right(path: Path) -> None:
    storm = [sys.executable, "-m", "tests.index.snapshot_storm", str(path), str(KILLS)]
    ended = subprocess.run(storm, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    told = json.loads(ended.stdout)
    assert told["whole"] > KILLS / 10 and told["none"] > KILLS / 10, "the kills seldom met what they were meant for"
    assert told["files"] <= 1, "what writers that were killed left behind is removed"


# -- as the forget index uses it -----------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of a large index, made small."""
    monkeypatch.setattr(vectors, "SMALLEST_OVERLAY", 10)
    monkeypatch.setattr(inverted, "FEWEST", 12)


def facts(n: int) -> list[Draft]:
    cities = ("Lund", "Brest", "Porto", "Graz", "Turku", "Ghent", "Split", "Varna", "Bergen", "Cork")
    return [
        Draft(Kind.FACT, f"The clockmaker of {cities[i % 10]} owns {i + 3} lighthouses.", f"Who owns {i + 3} lights?")
        for i in range(n)
    ]


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def found(index: ForgetIndex) -> set[str]:
    return set(index.snapshot.view("ns").rules.by_entry)


def test_an_index_starts_from_its_stored_snapshot_and_what_was_written_since(
    small: None, opened: Callable[..., ForgetIndex], path: Path
) -> None:
    first = opened("first")
    ids = first.add("ns", facts(20)).ids
    until(lambda: on_disk(path) and first.store.snapshot_key())
    late = first.add("ns", facts(21)[20:]).ids
    first.change("ns", ids[0], Change(label="shown"))
    first.close()
    second = opened("second")
    assert found(second) == {*ids, *late}
    assert second.snapshot.view("ns").rules.by_entry[ids[0]].label == "shown"
    assert second.snapshot.revision == first.store.revision()
    tables = second._follower.state.holdings["ns"].tables.values()
    assert not all(table.exact for table in tables), "it was made anew from the store"


def test_a_removal_makes_the_stored_snapshot_useless_at_once(
    small: None, opened: Callable[..., ForgetIndex], path: Path
) -> None:
    index = opened()
    ids = index.add("ns", facts(20)).ids
    until(lambda: on_disk(path) and index.store.snapshot_key())
    index.change("ns", ids[1], Change(label="shown"))
    assert index.store.snapshot_key() is not None, "no content was destroyed"
    index.change("ns", ids[1], Change(text="The clockmaker of Lund owns nothing at all."))
    assert index.store.snapshot_key() is None
    index.close()
    assert index.store.snapshot_key() is not None, "a new one is kept for the next start"
    written_anew = opened("again")
    written_anew.remove("ns", ids[2])
    assert written_anew.store.snapshot_key() is None
    assert found(written_anew) >= set(ids) - {ids[2]}


def test_every_stage_judges_alike_on_a_base_and_on_what_was_made_from_the_store(
    small: None, path: Path, embedder: Embedder, static_model: StaticModel
) -> None:
    def started() -> ForgetIndex:
        store = SQLiteStore(path)
        instruments = Instruments(embedder, calibration_for(embedder, store), static_model)
        index = ForgetIndex(store, instruments, Sealer(KEK), "here")
        index.start()
        return index

    def ended(index: ForgetIndex) -> None:
        index.close()
        index.store.close()

    texts = ["In Lund the clockmaker owns three lighthouses.", "Bread is dear.", PASSAGE[:200], "Who keeps seven?"]
    windows = [Window(text, 0, len(text), context="Who owns 3 lights?") for text in texts]

    def judged(index: ForgetIndex) -> list[list[tuple[str, str, float]]]:
        view = index.snapshot.view("ns")
        cascades = (view.answer, view.prompt)
        assert all(cascade.stages for cascade in cascades)
        return [
            sorted((stage.detector.name, e.entry_id, round(e.score, 2)) for e in found)
            for cascade in cascades
            for stage in cascade.stages
            for found in stage.detector.find(windows)
        ]

    first = started()
    first.wait_applied(first.add("ns", [*facts(20), Draft(Kind.PASSAGE, PASSAGE)]).revision, 5)
    expected = judged(first)
    ended(first)
    second = started()
    assert second._follower.state.base == second.snapshot.revision, "it was made from the store"
    for mine, theirs in zip(expected, judged(second), strict=True):
        assert [line[:2] for line in mine] == [line[:2] for line in theirs]
        assert [line[2] for line in mine] == pytest.approx([line[2] for line in theirs], abs=0.011)
    ended(second)


class Beside:
    """Implements `Bases` for a process that does not lead."""

    leads = False

    def __init__(self) -> None:
        self.base: Base | None = None

    def publish(self, base: Base) -> None:
        raise AssertionError("it does not lead")

    def newest(self) -> Base | None:
        return self.base


class Leading(OwnBases):
    """Implements `Bases` for the one that leads."""

    def __init__(self, beside: Beside) -> None:
        super().__init__()
        self._beside = beside

    def publish(self, base: Base) -> None:
        self._beside.base = base.copied()
        super().publish(base)


def test_who_does_not_lead_moves_onto_the_base_of_the_leader_and_follows_the_store(
    small: None, path: Path, embedder: Embedder
) -> None:
    beside = Beside()
    both = []
    for name, bases in (("leader", Leading(beside)), ("other", beside)):
        store = SQLiteStore(path)
        instruments = Instruments(embedder, calibration_for(embedder, store))
        both.append(ForgetIndex(store, instruments, Sealer(KEK), name, bases=bases))
    leader, other = both
    for index in both:
        index.start()
    ids = leader.add("ns", facts(20)).ids
    until(lambda: all(index._follower.state.base for index in both))
    assert found(leader) == found(other) == set(ids)
    assert not all(table.exact for table in other._follower.state.holdings["ns"].tables.values())
    removed = leader.remove("ns", ids[3])
    assert leader.wait_applied(removed.revision, 5) == ()
    assert found(leader) == found(other) == set(ids) - {ids[3]}
    for index in (other, leader):
        index.close()
        index.store.close()


def test_a_small_index_stores_no_snapshot(opened: Callable[..., ForgetIndex], path: Path) -> None:
    index = opened()
    index.wait_applied(index.add("ns", facts(3)).revision, 5)
    index.close()
    assert not on_disk(path) and index.store.snapshot_key() is None
