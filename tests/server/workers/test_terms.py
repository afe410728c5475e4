"""The terms of a worker: all settings arrive, secrets are told on the link alone, and limits are shared."""

from __future__ import annotations

from pathlib import Path

from server.settings import load_settings
from server.workers.terms import Terms, share_of, terms_of

SECRET = "a-secret-that-nobody-shall-see"


def test_terms_arrive_as_they_were_sent_and_do_not_show_their_secrets() -> None:
    settings = load_settings(
        {"workers": "3", "cache": "/c", "key_file": "/k", "shutdown_grace_s": "2.5"}, {"LETHE_ADMIN_KEY": SECRET}
    )
    terms = Terms(settings, 2, leads=False, generated_key="made-up")
    found = terms_of(terms.packed())
    assert found == terms
    assert (found.settings.cache, found.settings.workers) == (Path("/c"), 3)
    assert found.settings.admin_key is not None
    assert found.settings.admin_key.get_secret_value() == SECRET
    assert "made-up" not in repr(terms)
    assert SECRET not in repr(terms)


def test_workers_share_what_a_server_may_do_at_once() -> None:
    settings = load_settings({"workers": "3", "max_concurrency": "256", "judge_parallel_calls": "2"}, {})
    shares = [share_of(settings, slot) for slot in (1, 2, 3)]
    assert [share.replica_name for share in shares] == ["lethe-1/1", "lethe-1/2", "lethe-1/3"]
    assert {share.max_concurrency for share in shares} == {86}
    assert {share.judge_calls_per_minute for share in shares} == {40}
    assert {share.judge_parallel_calls for share in shares} == {1}
    assert {share.judge_threads for share in shares} == {settings.judge_threads}
