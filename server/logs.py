"""Structured logs: one JSON object per line, about what happened and never about what was said.

Messages of exceptions may quote what they could not read, so of an exception only its type and the places it passed
are logged; messages of libraries may too, so of those only the place that logged them.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Final, TextIO

from server.observation import InContextObserved, Observation, RequestObserved

LOGGER: Final = logging.getLogger("lethe")
_QUIET: Final = ("uvicorn.access", "httpx", "sentence_transformers", "transformers", "faiss", "faiss.loader", "aiohttp")

_TRUSTED: Final = frozenset({"lethe", "server", "index", "uvicorn"})

Value = str | int | float | bool | None


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object: at, level, event, `worker` in a worker, and the fields given to `record`."""

    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self._common: dict[str, object] = {} if worker is None else {"worker": worker}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _event(record),
            **self._common,
        }
        fields = getattr(record, "lethe", None)
        if isinstance(fields, Mapping):
            line |= fields
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = places(record.exc_info[1])
        return json.dumps(line, default=str)


def _event(record: logging.LogRecord) -> str:
    if record.name.partition(".")[0] in _TRUSTED:
        return record.getMessage()
    return f"reported by {record.module}.{record.funcName}:{record.lineno}"


def places(error: BaseException) -> list[str]:
    """The types in the chain of an exception and where it passed: no message, no source line, no value."""
    lines: list[str] = []
    chain: BaseException | None = error
    while chain is not None and len(lines) < 100:
        lines.append(f"{type(chain).__module__}.{type(chain).__qualname__}")
        frames = traceback.extract_tb(chain.__traceback__)
        lines.extend(f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
    return lines


def configure_logs(level: str, stream: TextIO | None = None, worker: int | None = None) -> None:
    """Send every record of this process to `stream` (stderr) as JSON lines; each says which worker wrote it."""
    out = logging.StreamHandler(stream or sys.stderr)
    out.setFormatter(JsonLines(worker))
    root = logging.getLogger()
    root.handlers[:] = [out]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)  # that it serves and that it stopped, we say ourselves


def record(
    event: str, level: int = logging.INFO, error: BaseException | None = None, fields: Mapping[str, Value] | None = None
) -> None:
    """Log one event with content-free fields: ids, names, counts, seconds."""
    LOGGER.log(level, event, extra={"lethe": fields or {}}, exc_info=error)


class RequestLog:
    """An observer: one line per request of an application, and one per entry that it repeated in its own words."""

    def observe(self, seen: Observation) -> None:
        """Log a request that is over, or what an in-context rule let pass."""
        if not LOGGER.isEnabledFor(logging.INFO):
            return
        if isinstance(seen, InContextObserved):
            about: dict[str, Value] = {"request_id": seen.request_id, "entry_id": seen.entry_id}
            record("in_context", fields={**about, "side": seen.side.value, "rule": seen.rule.value})
        if isinstance(seen, RequestObserved):
            fields: dict[str, Value] = {
                "request_id": seen.request_id,
                "principal": seen.principal,
                "namespace": seen.namespace,
                "dialect": seen.dialect,
                "stream": seen.stream,
                "outcome": seen.outcome.value,
                "status": seen.status,
                "seconds": round(seen.seconds, 4),
                "revision": seen.revision,
                "stripped": ",".join(seen.stripped),
            }
            record("request", fields=fields)
