"""The table of request options: complete, documented, and changed only as it may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.dialects import DIALECTS
from server.dialects.option_table import (
    OPTIONS,
    USUAL,
    Surface,
    Treatment,
    TreatmentInvalid,
    options_of,
    parse_treatments,
)
from server.dialects.request_fields import REQUEST_FIELDS
from server.offer import offer_of
from server.request_reference import render
from server.settings import SettingsInvalid, load_settings


def test_every_option_says_why_and_may_be_what_it_is() -> None:
    for name, option in OPTIONS.items():
        assert option.why, name
        assert option.treatment in option.allowed, name
        assert Treatment.REFUSE in option.allowed, name


def test_the_documentation_is_what_the_tables_say() -> None:
    """When this fails: python -m server.request_reference > docs/request-options.md"""
    assert (Path(__file__).parents[3] / "docs" / "request-options.md").read_text() == render()


def test_a_field_stands_in_one_list_only() -> None:
    for fields in REQUEST_FIELDS.values():
        assert not fields.plain & fields.texts
        assert not (fields.plain | fields.texts) & fields.options.keys()


def test_treatments_are_read_from_a_line() -> None:
    assert parse_treatments("") == {}
    assert parse_treatments(" logprobs=guard , images = pass,") == {
        "logprobs": Treatment.GUARD,
        "images": Treatment.PASS,
    }


@pytest.mark.parametrize(
    "told", ["lodprobs=guard", "logprobs", "logprobs=maybe", "top_logprobs=guard", "kv_transfer_params=pass", "=strip"]
)
def test_what_no_option_can_be_is_an_error_at_start(told: str) -> None:
    with pytest.raises(TreatmentInvalid):
        parse_treatments(told)
    with pytest.raises(SettingsInvalid, match="request-options"):
        load_settings({"request_options": told}, {})


def test_settings_become_an_offer() -> None:
    settings = load_settings({}, {"LETHE_REQUEST_OPTIONS": "echo=strip", "LETHE_UNKNOWN_FIELDS": "refuse"})
    surface = offer_of(settings).surface
    assert surface == Surface({"echo": Treatment.STRIP}, Treatment.REFUSE)
    assert surface.options(options_of("echo", "stop"))["echo"].treatment is Treatment.STRIP
    assert surface.options(options_of("echo", "stop"))["stop"] == OPTIONS["stop"]
    with pytest.raises(SettingsInvalid):
        load_settings({"unknown_fields": "pass"}, {})


def test_every_dialect_is_made_with_a_surface() -> None:
    assert len({dialect.path for dialect in DIALECTS}) == len(DIALECTS)
    assert USUAL.treatment("logprobs") is Treatment.STRIP
    assert not USUAL.allows("images")
