"""Settings: flags, variables, files, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from server.cli import build_parser, known_variables
from server.reference import render
from server.settings import SECRETS, Settings, SettingsInvalid, flag, load_settings, refuse_unknown, variable

SECRET = "a-secret-that-nobody-shall-see"
CHAT = {"judge": "chat", "judge_url": "http://judge:9000", "judge_model": "m"}


def test_defaults_are_those_of_the_contract() -> None:
    settings = load_settings({}, {})
    assert (settings.host, settings.port, settings.workers, settings.store) == (
        "127.0.0.1",
        8080,
        1,
        "sqlite:///lethe.db",
    )
    assert settings.metrics_port == 9464


@pytest.mark.parametrize("name", sorted(set(Settings.model_fields) - SECRETS))
def test_every_setting_has_a_flag_and_a_variable(name: str) -> None:
    options = build_parser().parse_args(["serve", flag(name), "7"])
    assert getattr(options, name) == "7"
    assert variable(name) in known_variables(build_parser())


@pytest.mark.parametrize(
    ("flags", "variables", "name", "value"),
    [
        ({"port": "1"}, {"LETHE_PORT": "2"}, "port", 1),
        ({}, {"LETHE_PORT": "2"}, "port", 2),
        ({}, {"LETHE_PORT": ""}, "port", 8080),
        ({}, {"LETHE_UPSTREAM": "http://vllm:8000/v1/"}, "upstream", "http://vllm:8000"),
        ({}, {"LETHE_UPSTREAM_TIMEOUT_S": "3.5"}, "upstream_timeout_s", 3.5),
        ({}, {"LETHE_MAX_BODY_BYTES": "2000"}, "max_body_bytes", 2000),
        ({}, {"LETHE_KEY_FILE": "/k"}, "key_file", Path("/k")),
        ({}, {}, "judge", "off"),
        (CHAT, {}, "judge_url", "http://judge:9000/v1"),
        (CHAT | {"judge_url": "https://x.example/v1beta/openai/"}, {}, "judge_url", "https://x.example/v1beta/openai"),
        ({"judge": "cross-encoder"}, {"LETHE_JUDGE_MODEL": "/models/nli"}, "judge_model", "/models/nli"),
    ],
)
def test_flags_win_over_variables(flags: dict[str, Any], variables: dict[str, str], name: str, value: object) -> None:
    assert getattr(load_settings(flags, variables), name) == value


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"LETHE_PORT": "http"}, "--port (LETHE_PORT)"),
        ({"LETHE_PORT": "70000"}, "--port"),
        ({"LETHE_WORKERS": "65"}, "--workers"),
        ({"LETHE_WORKERS": "2", "LETHE_STORE": "sqlite:///:memory:"}, "one process"),
        ({"LETHE_STORE": "mysql://x"}, "SQLite"),
        ({"LETHE_UPSTREAM": "vllm:8000"}, "http://"),
        ({"LETHE_UPSTREAM": "http://user:word@vllm"}, "credentials"),
        ({"LETHE_UPSTREAM_TIMEOUT_S": "0"}, "--upstream-timeout-s"),
        ({"LETHE_LOG_LEVEL": "loud"}, "--log-level"),
        ({"LETHE_REPLICA_NAME": "a b"}, "--replica-name"),
        ({"LETHE_ADMIN_KEY": "short", "LETHE_HOST": "0.0.0.0"}, "LETHE_ADMIN_KEY must have at least 16"),
        ({"LETHE_ADMIN_KEY": SECRET, "LETHE_ADMIN_KEY_FILE": "/x"}, "not both"),
        ({"LETHE_ADMIN_KEY_FILE": "/does/not/exist"}, "--admin-key-file"),
        ({"LETHE_KEY_ENCRYPTION_KEY": SECRET, "LETHE_KEY_FILE": "/x"}, "not both"),
        ({"LETHE_JUDGE_API_KEY": SECRET, "LETHE_JUDGE_API_KEY_FILE": "/x"}, "not both"),
        ({"LETHE_JUDGE_MODEL": "m"}, "--judge is off"),
        ({"LETHE_JUDGE": "chat", "LETHE_JUDGE_URL": "http://judge"}, "needs --judge-model"),
        ({"LETHE_JUDGE": "chat", "LETHE_JUDGE_MODEL": "m"}, "needs --judge-url"),
        ({"LETHE_JUDGE": "chat", "LETHE_JUDGE_MODEL": "m", "LETHE_JUDGE_URL": "judge:9000"}, "http://"),
        ({"LETHE_JUDGE": "chat", "LETHE_JUDGE_MODEL": "m", "LETHE_JUDGE_URL": "http://a:b@c"}, "LETHE_JUDGE_API_KEY"),
        (
            {"LETHE_JUDGE": "cross-encoder", "LETHE_JUDGE_MODEL": "m", "LETHE_JUDGE_URL": "http://judge"},
            "has no --judge-url",
        ),
        (
            {
                "LETHE_JUDGE": "chat",
                "LETHE_JUDGE_MODEL": "m",
                "LETHE_JUDGE_URL": "http://judge",
                "LETHE_JUDGE_CALL_TIMEOUT_S": "10",
            },
            "--judge-call-timeout-s must be below",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence_without_the_value(variables: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        load_settings({}, variables)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert SECRET not in str(refused.value)
    assert "short" not in str(refused.value)


def test_a_misspelled_variable_is_refused_and_the_benchmarks_are_not() -> None:
    refuse_unknown(["LETHE_PORT", "LETHE_DATA"], ["LETHE_PORT"])
    with pytest.raises(SettingsInvalid, match="LETHE_PROT"):
        refuse_unknown(["LETHE_PROT"], ["LETHE_PORT"])


def test_secrets_come_from_files_too_and_never_show(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(SECRET + "\n")
    files = {"LETHE_UPSTREAM_API_KEY_FILE": str(tmp_path / "key"), "LETHE_JUDGE_API_KEY_FILE": str(tmp_path / "key")}
    settings = load_settings(CHAT, {**files, "LETHE_ADMIN_KEY": SECRET})
    for key in (settings.upstream_api_key, settings.judge_api_key):
        assert key is not None
        assert key.get_secret_value() == SECRET
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert SECRET not in shown


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings({}, {}).port = 1  # type: ignore[misc]


def test_the_documentation_is_what_the_declarations_say() -> None:
    """When this fails: python -m server.reference > docs/configuration.md"""
    assert (Path(__file__).parents[2] / "docs" / "configuration.md").read_text() == render()
