"""A process that stores snapshots and destroys content, killed at a random moment, many times: a program of its own
for `test_base_file`.

```
    this process  --fork-->  child: for ever { add or remove or fold and store; say so }
                  --SIGKILL at a random moment-->
                  reads the stored snapshot, if its key exists, and compares it with the store
```

A snapshot that can be read must hold what the store held at its revision, and nothing that was removed since.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from index.base import opened, pack
from index.base_file import BaseFile
from index.sealing import Sealer
from index.sqlite import SQLiteStore
from tests.index.kill_storm import record

SLOWEST_KILL_S = 0.08
KEK = bytes(range(32))


def write_for_ever(path: Path, seed: int) -> None:
    """The child."""
    rng = random.Random(seed)
    store = SQLiteStore(path)
    file = BaseFile(store, Sealer(KEK), "basis")
    for n in range(1_000_000):
        what = rng.choice(["add", "add", "remove", "store", "store"])
        changes = store.changes_since(0)
        known = [entry.id for entry in changes.entries]
        if what == "add" or (what == "remove" and not known):
            store.add([record(f"{seed}-{n}", "label", 10)])
        elif what == "remove":
            store.remove("ns", rng.choice(known))
        else:
            base = pack(changes.revision, {"ids": known, "filling": rng.randbytes(200_000)})
            file.write(base)
            base.close()


def checked(path: Path) -> str:
    """What became of the stored snapshot. Raises `AssertionError` when it is wrong."""
    store = SQLiteStore(path)
    base = BaseFile(store, Sealer(KEK), "basis").read()
    key = store.snapshot_key()
    changes = store.changes_since(base.revision if base else 0)
    everything = {entry.id for entry in store.changes_since(0).entries}
    store.close()
    if base is None:
        assert key is None, "there is a key, and no file that it opens"
        return "none"
    held = set(opened(base)["ids"])
    base.close()
    assert not changes.removed, "content was destroyed and can still be read"
    assert held | {entry.id for entry in changes.entries} == everything, "it is not what the store held"
    return "whole"


def main(path: Path, kills: int) -> None:
    """Kill and check, many times."""
    ends = {"none": 0, "whole": 0}
    for seed in range(1, kills + 1):
        child = os.fork()
        if child == 0:
            try:
                write_for_ever(path, seed)
            finally:
                os._exit(1)
        time.sleep(random.Random(-seed).uniform(0.01, SLOWEST_KILL_S))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "the child failed by itself"
        ends[checked(path)] += 1
    left = len(list(path.parent.glob("*.snapshot-*")))
    print(json.dumps({"kills": kills, "files": left, **ends}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
