"""What is sealed opens only with its key, for its entry and its purpose."""

from __future__ import annotations

import base64
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.errors import WrongKey
from index.sealing import Sealer, key_from_file, parse_key

KEY = bytes(range(32))


@given(st.binary(max_size=200))
def test_what_is_sealed_opens_again(data: bytes) -> None:
    key, wrapped = Sealer(KEY).new_key("e")
    sealed = key.seal(data, "content")
    assert Sealer(KEY).unwrap("e", wrapped).open(sealed, "content") == data
    assert len(data) < 8 or data not in sealed


def test_nothing_opens_for_another_entry_purpose_or_key() -> None:
    key, wrapped = Sealer(KEY).new_key("e")
    sealed = key.seal(b"data", "content")
    other, _ = Sealer(KEY).new_key("e")
    for attempt in (
        lambda: key.open(sealed, "vectors"),
        lambda: other.open(sealed, "content"),
        lambda: Sealer(KEY).unwrap("f", wrapped),
        lambda: Sealer(KEY[::-1]).unwrap("e", wrapped),
        lambda: Sealer(KEY).unwrap_secret(wrapped, "e"),
        lambda: key.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), "content"),
        lambda: key.open(b"", "content"),
        lambda: key.open(sealed[:10], "content"),
    ):
        with pytest.raises(WrongKey):
            attempt()


def test_two_seals_of_the_same_differ() -> None:
    key, _ = Sealer(KEY).new_key("e")
    assert key.seal(b"data", "content") != key.seal(b"data", "content")


def test_no_key_shows_in_a_repr(tmp_path: Path) -> None:
    key, _ = Sealer(KEY).new_key("e")
    shown = repr([key, Sealer(KEY), key_from_file(tmp_path / "key")])
    assert KEY.hex() not in shown and str(KEY) not in shown and str(key.key) not in shown


def test_a_new_key_file_is_the_owners_alone_and_announced(tmp_path: Path, caplog) -> None:
    path = tmp_path / "deep" / "key"
    made = key_from_file(path)
    assert made.created and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "NEW KEY-ENCRYPTION KEY" in caplog.text and made.key.hex() not in caplog.text
    again = key_from_file(path)
    assert (again.key, again.created) == (made.key, False)
    assert [p.name for p in path.parent.iterdir()] == ["key"]


def test_processes_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    found = []
    threads = [threading.Thread(target=lambda: found.append(key_from_file(tmp_path / "key"))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({f.key for f in found}) == 1
    assert sum(f.created for f in found) == 1


@pytest.mark.parametrize(
    "text",
    [KEY.hex(), KEY.hex().upper() + "\n", base64.b64encode(KEY).decode(), base64.urlsafe_b64encode(KEY).decode()],
)
def test_a_key_is_hexadecimal_or_base64(text: str) -> None:
    assert parse_key(text) == KEY


@pytest.mark.parametrize("text", ["", "secret", KEY.hex()[:-1], base64.b64encode(KEY[:16]).decode(), "ß" * 64])
def test_what_is_no_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(WrongKey) as caught:
        parse_key(text)
    assert not text or text not in str(caught.value)


def test_a_key_file_that_cannot_be_read_or_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(WrongKey, match="cannot be read"):
        key_from_file(tmp_path / "folder")
    (tmp_path / "file").write_text("x")
    with pytest.raises(WrongKey, match="cannot be"):
        key_from_file(tmp_path / "file" / "key")
    with pytest.raises(WrongKey, match="64 hexadecimal"):
        key_from_file(tmp_path / "file")


def test_a_derived_secret_belongs_to_the_key_and_the_purpose() -> None:
    derived = Sealer(KEY).derived("responses")
    assert derived == Sealer(KEY).derived("responses") and len(derived) == 32
    assert derived not in (KEY, Sealer(KEY).derived("others"), Sealer(KEY[::-1]).derived("responses"))
