"""A process that writes through the store, killed at a random moment, many times: a program of its own for `test_kill`.

```
    this process  --fork-->  child: for ever { say what it will do; do it; say that it was acknowledged }
                  --SIGKILL at a random moment-->
                  opens the store and compares it with what the child said
```

It forks, so it must hold no threads and no open database: that is why it is not part of the test process.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from guard.verdict import Kind
from index.entry import Retention
from index.errors import EntryUnknown
from index.records import EntryRecord, Once, PolicyRecord
from index.sqlite import SQLiteStore

SLOWEST_KILL_S = 0.06


def record(entry_id: str, label: str, size: int) -> EntryRecord:
    return EntryRecord(
        entry_id, "ns", Kind.FACT, label, "default", Retention.ENCRYPTED, "", 1.0, None, 1, "b",
        label.encode() * size, b"v" * size, b"p", b"k" * 60,
    )  # fmt: skip


def write_for_ever(path: Path, tell: int, seed: int, known: list[str]) -> None:
    """The child: adds, replaces, removes and sets policies, telling each intention and each acknowledgement."""
    rng = random.Random(seed)
    store = SQLiteStore(path)
    for n in range(1_000_000):
        name = f"{seed}-{n}"
        kind = rng.choice(["add", "add", "replace", "remove", "policy"])
        once = Once("p", name, "r", "b")
        targets = [rng.choice(known)] if known else []
        if kind == "add" or not targets:
            kind, targets = "add", [f"{name}-{i}" for i in range(rng.choice([1, 2, 5, 30]))]
        say(tell, {"will": kind, "name": name, "ids": targets})
        if kind == "add":
            store.add([record(i, name, rng.choice([10, 2000])) for i in targets], once)
            known += targets
        elif kind == "replace":
            current = store.entry("ns", targets[0])
            store.replace(record(current.id, name, 500), current.revision, once)
        elif kind == "remove":
            store.remove("ns", targets[0], once)
            known.remove(targets[0])
        else:
            store.put_policy(PolicyRecord("ns", "p", name), once)
        say(tell, {"done": name})


def say(tell: int, line: dict[str, object]) -> None:
    os.write(tell, json.dumps(line).encode() + b"\n")


@dataclass
class World:
    """What must be in the store: entries with the label of their last write, and the policy's body."""

    labels: dict[str, str] = field(default_factory=dict)
    policy: str | None = None
    writes: int = 0

    def after(self, write: dict) -> World:
        labels, policy = dict(self.labels), self.policy
        if write["will"] == "policy":
            policy = write["name"]
        elif write["will"] == "remove":
            del labels[write["ids"][0]]
        else:
            labels |= dict.fromkeys(write["ids"], write["name"])
        return World(labels, policy, self.writes + 1)


def found(path: Path, last: str | None) -> tuple[World, bool]:
    """What is in the store, and whether the write `last` left its idempotency record."""
    store = SQLiteStore(path)
    changes = store.changes_since(0)
    for entry in changes.entries:
        assert entry.content is not None and entry.content.startswith(entry.label.encode()), "half a row"
    policy = store.policy("ns", "p")
    world = World({e.id: e.label for e in changes.entries}, policy.body if policy else None, changes.revision)
    for _, removed in changes.removed[-3:]:
        try:
            store.entry("ns", removed)
        except EntryUnknown:
            continue
        raise AssertionError("a removed entry is there")
    recorded = last is not None and store.replay(Once("p", last, "r", "b")) is not None
    with store._db.reading() as session:
        assert session.rows("PRAGMA quick_check")[0]["quick_check"] == "ok"
    store.close()
    return world, recorded


def kill_once(path: Path, seed: int, world: World) -> tuple[World, str]:
    """Fork, let it write, kill it, compare. Answers the world from then on and what became of the last write."""
    rng = random.Random(-seed)
    hear, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(hear)
        try:
            write_for_ever(path, tell, seed, sorted(world.labels))
        except BaseException as fault:
            say(tell, {"fault": repr(fault)})
        os._exit(1)
    os.close(tell)
    time.sleep(rng.uniform(0.002, SLOWEST_KILL_S))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(hear, "rb") as heard:
        lines = [json.loads(line) for line in heard.read().splitlines()]
    assert not [line for line in lines if "fault" in line], lines[-1]
    pending = None
    for line in lines:
        if "will" in line:
            pending = line
        else:
            assert pending is not None and pending["name"] == line["done"]
            world, pending = world.after(pending), None
    there, recorded = found(path, pending["name"] if pending else None)
    if there == world:
        assert not recorded, "an undone write left its idempotency record"
        return world, "undone" if pending else "idle"
    assert pending is not None, f"lost or invented: {there.writes} writes instead of {world.writes}"
    assert there == world.after(pending), f"half of {pending['will']} {pending['name']} was applied"
    assert recorded, "a write is there without its idempotency record"
    return there, "done"


def main(path: Path, kills: int) -> None:
    world, ends = World(), {"undone": 0, "idle": 0, "done": 0}
    for seed in range(1, kills + 1):
        world, end = kill_once(path, seed, world)
        ends[end] += 1
    print(json.dumps({"kills": kills, "writes": world.writes, "entries": len(world.labels), **ends}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
