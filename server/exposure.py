"""What the model server exposes beside Lethe: found out by harmless questions, again and again, and told to operators.

```
    GET path, without the key --> 404            not there
                              --> 401, 403       guarded --> GET with the key: there, or not
                              --> 200, 405, ...  there, for anyone
```
A probe is a GET and nothing else: a path that only takes POST says 405 before anything runs. Lethe asks from where it
runs: what others can reach is a matter of the network, which `deploy/network.md` lays out.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import orjson

from server.faults import UpstreamFault, UpstreamRefused
from server.logs import record
from server.observation import UpstreamReason
from server.upstream import Ask, Timeouts, Upstream
from server.upstream_endpoints import ENDPOINTS, HARMLESS, KEYED, Endpoint, Severity

RETRY_S: Final = 30.0
"""How long to wait after the model server could not be examined."""

_PATIENCE: Final = Timeouts(connect=5.0, first_byte=5.0, idle=5.0, total=10.0)
_LONGEST_SCHEMA: Final = 8_000_000
_LONGEST_PATH: Final = 100
_MOST_UNKNOWN: Final = 50
_SCHEMA: Final = "/openapi.json"
_NOWHERE: Final = "/lethe-asks-for-what-is-not-there"
_KEY: Final = "start it with --api-key"
_NETWORK: Final = "let only Lethe reach it (deploy/network.md)"
_ORDER: Final = tuple(Severity)


@dataclass(frozen=True, slots=True)
class Finding:
    """What the model server lets others do. `needs_key`: only whoever holds its key. `fix` is for its operator."""

    method: str
    path: str
    severity: Severity
    needs_key: bool
    lets: str
    fix: str


class _Reading(Enum):
    ABSENT = auto()
    GUARDED = auto()
    PRESENT = auto()
    UNKNOWN = auto()


def _reading(status: int) -> _Reading:
    if status in (401, 403):
        return _Reading.GUARDED
    if status in (404, 410, 501):
        return _Reading.ABSENT
    return _Reading.UNKNOWN if status == 429 or status >= 500 else _Reading.PRESENT


class Examination:
    """Examines the model server at `base`; `api_key` is what Lethe presents to it."""

    def __init__(self, base: str, api_key: str | None) -> None:
        self._anyone = Upstream(base, None, _PATIENCE)
        self._keyed = Upstream(base, api_key, _PATIENCE) if api_key else None

    async def close(self) -> None:
        """Close the connections."""
        await self._anyone.close()
        if self._keyed is not None:
            await self._keyed.close()

    async def findings(self) -> tuple[Finding, ...]:
        """The worst first. Raises `UpstreamFault` when the model server cannot be asked."""
        nowhere = await self._ask(self._anyone, _NOWHERE)
        if nowhere is _Reading.UNKNOWN:
            raise UpstreamFault(UpstreamReason.STATUS, "the model server is not ready to be examined")
        if nowhere is _Reading.PRESENT:
            told = "answers paths that do not exist, so that its exposure cannot be told"
            return (Finding("GET", "/*", Severity.MEDIUM, False, told, _NETWORK),)
        schema = await self._schema()
        found = [finding for one in ENDPOINTS if (finding := await self._finding(one, schema)) is not None]
        found += await self._unknown(schema)
        return tuple(sorted(found, key=lambda one: (one.needs_key, _ORDER.index(one.severity))))

    async def _finding(self, endpoint: Endpoint, schema: frozenset[str] | None) -> Finding | None:
        reading = await self._ask(self._anyone, endpoint.path)
        guarded = reading is _Reading.GUARDED
        if guarded and endpoint.administers and self._keyed is not None:
            reading = await self._ask(self._keyed, endpoint.path)
        if reading is not _Reading.PRESENT:
            return None
        if endpoint.listed and schema is not None and endpoint.path not in schema:
            return None  # its route only says that it is switched off
        severity = Severity.LOW if guarded else endpoint.severity
        return Finding(endpoint.method, endpoint.path, severity, guarded, endpoint.lets, _fix(endpoint, guarded))

    async def _unknown(self, schema: frozenset[str] | None) -> list[Finding]:
        """Paths of the server's own schema that are in no list of ours, unless its key guards them."""
        named = {endpoint.path for endpoint in ENDPOINTS} | HARMLESS
        strange = sorted((schema or frozenset()) - named)
        if not strange:
            return []
        keyed = await self._ask(self._anyone, f"{KEYED[0]}{_NOWHERE}") is _Reading.GUARDED
        told = "is a path that this version of Lethe does not know"
        return [
            Finding("?", _shown(path), Severity.MEDIUM, False, told, _NETWORK)
            for path in strange[:_MOST_UNKNOWN]
            if not (keyed and path.startswith(KEYED))
        ]

    async def _schema(self) -> frozenset[str] | None:
        """The paths that the server says it has, or None when it does not say."""
        for upstream in (self._anyone, self._keyed):
            if upstream is None:
                continue
            try:
                async with upstream.ask(Ask("GET", _SCHEMA, "exposure")) as answer:
                    document = orjson.loads(await answer.whole(_LONGEST_SCHEMA))
                return frozenset(document["paths"])
            except UpstreamRefused:
                continue
            except (ValueError, KeyError, TypeError):  # it is no schema
                return None
        return None

    @staticmethod
    async def _ask(upstream: Upstream, path: str) -> _Reading:
        try:
            async with upstream.ask(Ask("GET", path, "exposure")):
                return _Reading.PRESENT
        except UpstreamRefused as refused:
            return _reading(refused.status)


class ExposureWatch:
    """Examines again and again, beside the traffic. `findings` is None until the model server was examined once.

    `every_s`: seconds between examinations; 0 examines never. `retry_s`: the same while it cannot be asked.
    """

    def __init__(self, examination: Examination, every_s: float, retry_s: float = RETRY_S) -> None:
        self._examination, self._every_s, self._retry_s = examination, every_s, retry_s
        self._told: frozenset[Finding] = frozenset()
        self.findings: tuple[Finding, ...] | None = None
        self.examined_at: float | None = None

    async def run(self) -> None:
        """Go on until cancelled. Nothing that happens here reaches anyone else."""
        while self._every_s > 0:
            examined = await self._examined()
            await asyncio.sleep(self._every_s if examined else self._retry_s)

    async def close(self) -> None:
        """Close the connections."""
        await self._examination.close()

    async def _examined(self) -> bool:
        try:
            findings = await self._examination.findings()
        except UpstreamFault:
            return False
        except Exception as fault:  # noqa: BLE001  # the border of a background task
            record("exposure_not_examined", logging.ERROR, fault)
            return False
        self.findings, self.examined_at = findings, time.time()
        for finding in findings:
            if finding not in self._told:
                _warn(finding)
        self._told |= frozenset(findings)
        return True


def _fix(endpoint: Endpoint, guarded: bool) -> str:
    fixes = [endpoint.off] if endpoint.off else []
    if not guarded and endpoint.path.startswith(KEYED):
        fixes.append(_KEY)
    return "; ".join([*fixes, _NETWORK])


def _warn(finding: Finding) -> None:
    level = logging.INFO if finding.needs_key else logging.WARNING
    fields = {"method": finding.method, "path": finding.path, "severity": finding.severity.value}
    record("upstream_exposed", level, fields={**fields, "lets": finding.lets, "fix": finding.fix})


def _shown(path: str) -> str:
    return path if len(path) <= _LONGEST_PATH and path.isascii() and path.isprintable() else "(odd)"
