"""The operator API under requests that nobody would write: it answers as its own description says, and never fails."""

from __future__ import annotations

import json
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from server.app import operator_app
from server.routes import plug_points
from tests.fuzz.conftest import Served

load_all_checks()


@schemathesis.serializer("application/x-ndjson")
def lines(_: Any, value: Any) -> Any:
    """Lines of JSON, or what is none."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return b"\n".join(json.dumps(item).encode() for item in (value if isinstance(value, list) else [value]))


SCHEMA = schemathesis.openapi.from_dict(operator_app(None).openapi())  # type: ignore[arg-type]  # its routes only
OPERATIONS = {
    f"{operation.method.upper()} {operation.path}": operation
    for operation in (result.ok() for result in SCHEMA.get_all_operations())
}
CONFORMANCE = CHECKS.get_by_names(
    ["status_code_conformance", "content_type_conformance", "response_schema_conformance"]
)
_ENDLESS = {"GET /lethe/v1/jobs/{job_id}/events"}
"""Answers until the job is over."""
_EXAMPLES = 20
"""Requests per call and way of making them up."""


def bounded(examples: int) -> Any:
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def check(served: Served, case: Any, role: str) -> None:
    """One request, and what is said about its answer."""
    for parameters in (case.query, case.headers):
        (parameters or {}).pop("wait", None)  # of no use without other replicas
    headers = {"Authorization": f"Bearer {served.keys[role]}"} if served.keys[role] else {}
    response = case.call(base_url=served.url, headers=headers, timeout=20)
    assert response.status_code != 500, response.text
    case.validate_response(response, checks=CONFORMANCE)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - _ENDLESS))
def test_every_answer_is_one_that_is_documented(served: Served, name: str, mode: GenerationMode) -> None:
    operation = OPERATIONS[name]
    if mode is GenerationMode.NEGATIVE and not (operation.query or operation.body or operation.path_parameters):
        return  # nothing in it could be wrong

    @bounded(_EXAMPLES)
    @given(case=operation.as_strategy(generation_mode=mode))
    def answers(case: Any) -> None:
        check(served, case, "app" if name.split()[1] in plug_points.PATHS else "admin")
        known = {"entry_id": served.entry, "name": "default"}
        if case.method != "DELETE" and case.path_parameters and known.keys() & case.path_parameters.keys():
            case.path_parameters.update({k: v for k, v in known.items() if k in case.path_parameters})
            check(served, case, "admin")

    answers()


@pytest.mark.parametrize("role", ["operator", "auditor", "app", "none"])
@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - _ENDLESS))
def test_every_refusal_of_a_role_is_documented(served: Served, name: str, role: str) -> None:
    @bounded(2)
    @given(case=OPERATIONS[name].as_strategy(generation_mode=GenerationMode.POSITIVE))
    def answers(case: Any) -> None:
        check(served, case, role)

    answers()


def test_every_call_of_the_operator_api_is_described() -> None:
    assert len(OPERATIONS) > 20
    assert all(operation.path.startswith("/") for operation in OPERATIONS.values())
