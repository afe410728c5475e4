"""kill -9 of the whole server in a write storm: nothing that was acknowledged is lost, nothing half-applies."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.server.processes import ADMIN, ServerProcess

KILLS = 10
WRITERS = 3
BATCH = 4
ENTRIES = "/lethe/v1/entries"


@dataclass
class Record:
    """What the writers know. A write whose answer never came may be there or not, but then all of it."""

    added: dict[str, list[str]] = field(default_factory=dict)  # label -> ids
    removed: set[str] = field(default_factory=set)
    uncertain: dict[str, dict[str, Any]] = field(default_factory=dict)  # label -> the request
    perhaps_removed: set[str] = field(default_factory=set)
    revision: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def body(label: str) -> dict[str, Any]:
    """One entry or a batch, by the label's number; a batch shares its label."""
    entry = {"kind": "fact", "text": f"Resident {label} keeps grey geese in Orsk.", "label": label}
    return entry if int(label.split("-")[1]) % 3 else {"entries": [entry] * BATCH}


def send(client: httpx.Client, label: str) -> httpx.Response:
    asked = body(label)
    path = f"{ENTRIES}/batch" if "entries" in asked else ENTRIES
    return client.post(path, json=asked, headers={"Idempotency-Key": label})


def storm(client: httpx.Client, record: Record, labels: itertools.count[int], writer: int) -> None:
    """Write until the server is gone."""
    while True:
        label = f"w{writer}-{next(labels)}"
        with record.lock:
            record.uncertain[label] = body(label)
        try:
            answer = send(client, label)
            assert answer.status_code == 201, answer.text
            note(record, label, answer.json())
            if random.random() < 0.3:
                victim = record.added[label][0]
                with record.lock:
                    record.perhaps_removed.add(victim)
                gone = client.delete(f"{ENTRIES}/{victim}")
                assert gone.status_code == 200, gone.text
                with record.lock:
                    record.removed.add(victim)
                    record.revision = max(record.revision, gone.json()["revision"])
        except httpx.TransportError:
            return


def note(record: Record, label: str, answer: dict[str, Any]) -> None:
    ids = [answer["id"]] if "id" in answer else [entry["id"] for entry in answer["entries"]]
    with record.lock:
        record.added[label] = ids
        record.uncertain.pop(label, None)
        record.revision = max(record.revision, answer["revision"])


def everything(client: httpx.Client) -> dict[str, str]:
    """Label by id of every entry."""
    found: dict[str, str] = {}
    cursor = ""
    while True:
        page = client.get(ENTRIES, params={"limit": 1000, **({"cursor": cursor} if cursor else {})}).json()
        found |= {entry["id"]: entry["label"] for entry in page["entries"]}
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def verify(client: httpx.Client, record: Record) -> None:
    """Compare the server with the record, then ask again what was not answered."""
    found = everything(client)
    for label, ids in record.added.items():
        for entry_id in ids:
            if entry_id in record.removed:
                assert entry_id not in found, f"{entry_id} of {label} came back"
            elif entry_id not in record.perhaps_removed:
                assert entry_id in found, f"{entry_id} of {label} was acknowledged and is lost"
    known = {entry_id for ids in record.added.values() for entry_id in ids}
    strays = Counter(label for entry_id, label in found.items() if entry_id not in known)
    for label, count in strays.items():
        assert label in record.uncertain, f"{label} was never asked for"
        assert count == (BATCH if "entries" in record.uncertain[label] else 1), f"{label} half-applied"
    assert client.get("/lethe/v1/status").json()["revision"] >= record.revision
    for label in list(record.uncertain):
        answer = send(client, label)
        assert answer.status_code == 201, answer.text
        note(record, label, answer.json())
        copies = Counter(everything(client).values())[label]
        assert copies == len(record.added[label]), f"{label} was done twice"


def test_ten_kills_of_the_whole_server_lose_nothing(tmp_path: Path) -> None:
    record, labels = Record(), itertools.count()
    env = {"LETHE_ADMIN_KEY": ADMIN}
    with ExitStack() as stack:

        def prepare(prepared: bool = True) -> ServerProcess:
            server = ServerProcess(tmp_path, env, prepared=prepared)
            stack.callback(server.kill)
            return server

        waiting = [prepare(prepared=False)]  # the first one exactly as an operator starts it
        for kill in range(KILLS):
            server = waiting.pop(0)
            server.go()
            while len(waiting) < min(2, KILLS - kill):  # the next ones load their modules meanwhile
                waiting.append(prepare())
            with server.client() as client:
                verify(client, record)
                threads = [threading.Thread(target=storm, args=(client, record, labels, n)) for n in range(WRITERS)]
                for thread in threads:
                    thread.start()
                time.sleep(random.uniform(0.2, 0.9))
                server.kill()
                for thread in threads:
                    thread.join(30)
                    assert not thread.is_alive()
        last = waiting.pop(0)
        last.go()
        with last.client() as client:
            verify(client, record)
    assert len(record.added) > KILLS
