"""A base is shared memory that nobody can write to, and says nothing that is not its own."""

from __future__ import annotations

import json
import os
import pickle

import numpy as np
import pytest

from index.base import FORMAT, Base, OwnBases, opened, pack, region
from index.errors import BaseRefused
from index.ids import Ids


def test_arrays_come_back_as_they_were_and_lie_in_the_region() -> None:
    held = {"a": np.arange(1000, dtype=np.int64), "b": np.zeros((0, 3), dtype=np.float16), "c": Ids(["x", "y"])}
    base = pack(7, held)
    found = opened(base)
    base.close()
    assert (found["a"] == held["a"]).all() and found["b"].shape == (0, 3) and found["c"][:] == ["x", "y"]
    assert not found["a"].flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        found["a"][0] = 1


def test_a_region_cannot_be_written_to_once_it_is_a_base() -> None:
    base = pack(1, {"a": np.arange(10)})
    with pytest.raises(PermissionError):
        os.pwrite(base.fds[0], b"x", 0)
    base.close()


def test_two_processes_read_the_same_base() -> None:
    base = pack(3, {"a": np.arange(100)})
    hear, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(tell, str(int(opened(base)["a"].sum())).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(hear, 100) == b"4950"
    for fd in (hear, tell):
        os.close(fd)
    base.close()


def test_what_does_not_belong_into_a_base_is_refused() -> None:
    with region("test") as fd:
        os.write(fd, np.array([16, 100], dtype="<i8").tobytes() + pickle.dumps(os.system).ljust(100))
    forged = Base(1, json.dumps({"format": FORMAT, "arrays": [0, 1], "indexes": []}).encode(), (fd,))
    with pytest.raises(BaseRefused, match="UnpicklingError"):
        opened(forged)
    forged.close()


@pytest.mark.parametrize(
    "manifest", [b"", b"{}", b'{"format": 999}', b"[]", b'{"format": %d, "arrays": [5, 9]}' % FORMAT]
)
def test_a_manifest_that_is_not_understood_is_refused(manifest: bytes) -> None:
    base = pack(1, {"a": np.arange(10)})
    with pytest.raises(BaseRefused):
        opened(Base(1, manifest, base.fds))
    base.close()


def test_a_process_that_serves_alone_closes_the_base_before() -> None:
    bases = OwnBases()
    first, second = pack(1, {}), pack(2, {})
    bases.publish(first)
    bases.publish(second)
    assert bases.newest() is second
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(first.fds[0])
    second.close()
