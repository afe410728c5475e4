"""The settings of a server, read once. The only file that reads the environment."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from server.dialects.option_table import parse_treatments
from server.loopback import is_loopback
from server.side_calls import parse_side_calls

PREFIX: Final = "LETHE_"
FOREIGN: Final = frozenset({"LETHE_DATA"})
"""Variables with our prefix that belong to the benchmarks."""

FILED: Final = ("upstream_api_key", "admin_key", "judge_api_key")
"""Secrets that may come from the file that their `…_file` twin names."""

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Port = Annotated[int, Field(ge=0, le=65_535)]


def _refuse_odd_url(value: str, key: str) -> None:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// URL")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(f"must not carry credentials, a query or a fragment; use {key} for a key")


class SettingsInvalid(Exception):
    """A setting that the operator gave cannot be used. The message names it, never its value."""


class Settings(BaseModel):
    """What `lethe serve` was told: a flag `--some-name` or a variable `LETHE_SOME_NAME` per field; flags win.

    Fields of type `SecretStr` come from the environment or from the file that their `…_file` twin names, never
    from a flag, where every user of the machine could read them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    upstream: str = Field("http://127.0.0.1:8000", description="base URL of the model server to guard, without /v1")
    host: str = Field("127.0.0.1", description="address to listen on; other than loopback needs an access key")
    port: Port = Field(8080, description="port of both sides; 0 takes a free one")
    workers: int = Field(1, ge=1, le=64, description="processes that share the port, the index and the limits")
    store: str = Field("sqlite:///lethe.db", description="where the forget index is kept: sqlite:///PATH")
    embedder: str = Field("bundled", description="`bundled`, or any sentence-transformers name or path")
    embedder_backend: Literal["auto", "torch-float32", "torch-bfloat16"] = Field(
        "auto",
        description="what computes its vectors; `auto` takes what this processor is quickest with",
    )
    cache: Path | None = Field(
        None, description="folder for what is derived from the embedder once; ~/.cache/lethe by default"
    )
    metrics_host: str | None = Field(None, description="address of the metrics port; the same as --host by default")
    metrics_port: Port = Field(9464, description="port of /metrics, /healthz and /readyz; 0 takes a free one")
    upstream_api_key: SecretStr | None = Field(None, description="bearer key presented to the model server")
    upstream_api_key_file: Path | None = Field(None, description="file that holds the upstream key")
    upstream_timeout_s: Seconds = Field(600.0, description="longest a whole upstream answer may take")
    upstream_connect_timeout_s: Seconds = Field(5.0, description="longest wait for a connection to the model server")
    upstream_idle_timeout_s: Seconds = Field(60.0, description="longest silence of the model server")
    admin_key: SecretStr | None = Field(
        None, description="bootstrap key with role admin; at least 16 characters, except on loopback"
    )
    admin_key_file: Path | None = Field(None, description="file that holds the bootstrap key")
    key_encryption_key: SecretStr | None = Field(
        None, description="key that wraps the entries' data keys: 32 bytes in base64 or hexadecimal"
    )
    key_file: Path | None = Field(
        None, description="file of that key, made at first start; beside the database by default"
    )
    request_options: str = Field(
        "",
        description="what is done with options of requests that reveal or force text: `option=treatment,…` with "
        "strip, refuse, guard or pass; docs/request-options.md lists them with their defaults",
    )
    unknown_fields: Literal["strip", "refuse"] = Field(
        "strip", description="what is done with fields of a request that no list here names"
    )
    adapters: str = Field(
        "",
        description="adapters of the model server that clients may ask for by name, separated by commas; `*` lets "
        "them ask for any model",
    )
    side_calls: str = Field(
        "",
        description="calls beside the guarded ones: `call=treatment,…` with off, pass or guard; "
        "docs/request-options.md lists them with their defaults",
    )
    responses_state: Literal["refuse", "guard"] = Field(
        "refuse",
        description="responses that the model server keeps (`store`, `background`, `previous_response_id`, and calls "
        "that fetch or cancel them): refused, or guarded and bound to the key that asked for them",
    )
    max_body_bytes: int = Field(10_000_000, ge=1_000, description="longest request body, imports excepted")
    max_concurrency: int = Field(256, ge=1, description="requests at work at once; the next one gets 429")
    ending_grid_ms: int = Field(
        100,
        ge=0,
        le=10_000,
        description="refusals and rewrites leave at multiples of so many milliseconds since their request began, so "
        "that their delay does not tell what found the match; 0 sends them at once",
    )
    request_timeout_s: Seconds = Field(600.0, description="longest a whole request may take, from question to answer")
    judge_timeout_s: Seconds = Field(10.0, description="longest a text may wait for its verdict")
    judge_backlog_s: Seconds = Field(
        5.0, description="a new request gets 429 while its first verdict would have to wait longer than this"
    )
    judge_threads: int = Field(1, ge=1, le=64, description="threads that judge texts")
    reviewer_threads: int = Field(
        4, ge=1, le=64, description="texts that may wait for the judge model at once, so that others need not"
    )
    judge: Literal["off", "chat", "cross-encoder"] = Field(
        "off", description="asks a model about texts that the other stages cannot decide"
    )
    judge_model: str | None = Field(
        None, description="its name at --judge-url, or the sentence-transformers name or path of a cross-encoder"
    )
    judge_url: str | None = Field(
        None, description="OpenAI-compatible base URL of a chat judge; /v1 is added when it has no path"
    )
    judge_api_key: SecretStr | None = Field(None, description="bearer key presented to the chat judge")
    judge_api_key_file: Path | None = Field(None, description="file that holds the judge's key")
    judge_call_timeout_s: Seconds = Field(2.0, description="longest the windows of one text wait for the judge model")
    judge_calls_per_minute: int = Field(120, ge=1, le=100_000, description="most questions to the judge model a minute")
    judge_parallel_calls: int = Field(8, ge=1, le=256, description="questions put to a chat judge at once")
    judge_cache_entries: int = Field(10_000, ge=0, le=10_000_000, description="answers of the judge kept, as hashes")
    judge_confidence: float = Field(0.5, gt=0, le=1, description="least confidence at which the judge model decides")
    torch_threads: int = Field(1, ge=1, le=256, description="threads inside one embedding computation")
    decision_days: float = Field(90.0, gt=0, le=3_650, description="days that content-free decisions are kept")
    shutdown_grace_s: Seconds = Field(15.0, description="how long running answers may finish after SIGTERM")
    exposure_minutes: float = Field(
        60.0, ge=0, le=10_080, description="minutes between looks at what the model server exposes; 0 looks never"
    )
    replica_name: str = Field(
        "lethe-1", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="name of this server among its replicas"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severity that is logged")

    @field_validator("upstream")
    @classmethod
    def _is_http_url(cls, value: str) -> str:
        _refuse_odd_url(value, "LETHE_UPSTREAM_API_KEY")
        return value.rstrip("/").removesuffix("/v1")

    @field_validator("judge_url")
    @classmethod
    def _is_base_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        _refuse_odd_url(value, "LETHE_JUDGE_API_KEY")
        base = value.rstrip("/")
        return base if urlsplit(base).path else base + "/v1"

    @field_validator("request_options")
    @classmethod
    def _names_options(cls, value: str) -> str:
        parse_treatments(value)
        return value

    @field_validator("side_calls")
    @classmethod
    def _names_side_calls(cls, value: str) -> str:
        parse_side_calls(value)
        return value

    @field_validator("store")
    @classmethod
    def _is_sqlite(cls, value: str) -> str:
        if not value.startswith("sqlite:///"):
            raise ValueError("this version keeps its index in SQLite: sqlite:///PATH")
        return value

    @model_validator(mode="after")
    def _is_hard_to_guess(self) -> Self:
        if self.admin_key is not None and len(self.admin_key.get_secret_value()) < 16 and not is_loopback(self.host):
            raise ValueError("LETHE_ADMIN_KEY must have at least 16 characters on an address other than loopback")
        return self

    @model_validator(mode="after")
    def _keeps_its_store_in_a_file(self) -> Self:
        if self.workers > 1 and self.store == "sqlite:///:memory:":
            raise ValueError("--store sqlite:///:memory: belongs to one process: give a file, or --workers 1")
        return self

    @model_validator(mode="after")
    def _is_given_once(self) -> Self:
        for name in FILED:
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                raise ValueError(f"give {variable(name)} or {variable(name + '_file')}, not both")
        if self.key_encryption_key is not None and self.key_file is not None:
            raise ValueError("give LETHE_KEY_ENCRYPTION_KEY or --key-file, not both")
        return self

    @model_validator(mode="after")
    def _knows_its_judge(self) -> Self:
        if self.judge == "off" and (self.judge_model is not None or self.judge_url is not None):
            raise ValueError("a judge model is named but --judge is off: say --judge chat or --judge cross-encoder")
        if self.judge != "off" and self.judge_model is None:
            raise ValueError(f"--judge {self.judge} needs --judge-model")
        if self.judge == "chat" and self.judge_url is None:
            raise ValueError("--judge chat needs --judge-url")
        if self.judge == "cross-encoder" and self.judge_url is not None:
            raise ValueError("--judge cross-encoder runs here and has no --judge-url")
        if self.judge == "chat" and self.judge_call_timeout_s >= self.judge_timeout_s:
            raise ValueError("--judge-call-timeout-s must be below --judge-timeout-s, after which the text is refused")
        return self


SECRETS: Final = frozenset(
    name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)
)


def flag(name: str) -> str:
    """The command-line option of a field."""
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    """The environment variable of a field."""
    return PREFIX + name.upper()


def environment() -> dict[str, str]:
    """Our variables of this process."""
    return {name: value for name, value in os.environ.items() if name.startswith(PREFIX) and name not in FOREIGN}


def refuse_unknown(variables: Iterable[str], known: Iterable[str]) -> None:
    """Raise `SettingsInvalid` for variables with our prefix that mean nothing: most likely a misspelling."""
    unknown = sorted(set(variables) - set(known) - FOREIGN)
    if unknown:
        names = ", ".join(unknown)
        raise SettingsInvalid(f"unknown environment variable {names}: `lethe serve --help` lists those that exist")


def load_settings(given: Mapping[str, object], variables: Mapping[str, str]) -> Settings:
    """The settings from options by field name, then from environment variables. Raises `SettingsInvalid`."""
    values: dict[str, object] = {}
    for name in Settings.model_fields:
        if name in given:
            values[name] = given[name]
        elif variables.get(variable(name)):
            values[name] = variables[variable(name)]
    try:
        settings = Settings.model_validate(values)
        secrets = {n: _read_secret(settings, n) for n in FILED}
        found = {name: secret for name, secret in secrets.items() if secret is not None}
        dropped = {f"{name}_file": None for name in found}
        kept = {name: getattr(settings, name) for name in settings.model_fields_set}
        return Settings.model_validate(kept | dropped | found)
    except ValidationError as error:
        raise SettingsInvalid(_sentence(error)) from None


def _read_secret(settings: Settings, name: str) -> str | None:
    path: Path | None = getattr(settings, f"{name}_file")
    if path is None:
        return None
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"the file that {flag(name + '_file')} names cannot be read: {error}") from None


def _sentence(error: ValidationError) -> str:
    """What is wrong, without the value: it may be a secret."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return message
    name = str(first["loc"][0])
    shown = variable(name) if name in SECRETS else f"{flag(name)} ({variable(name)})"
    return f"{shown}: {message[:1].lower() + message[1:]}"
