"""The command line, as a process, against a running server and against a store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.cli import COMMANDS, build_parser
from tests.server.operators import FACT, LEAK
from tests.server.processes import ADMIN, Ran, ServerProcess, lethe, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("server"), LETHE_ADMIN_KEY=ADMIN) as started:
        yield started


def remote(server: ServerProcess, *arguments: str, text: str = "", key: str = ADMIN) -> Ran:
    return lethe(*arguments, cwd=server.cwd, text=text, env={"LETHE_URL": server.url, "LETHE_KEY": key})


def test_entries_live_through_their_whole_life_on_a_server(server: ServerProcess, tmp_path: Path) -> None:
    added = remote(
        server,
        "entries",
        "add",
        "--kind",
        "fact",
        "--prompt",
        FACT["prompt"],
        "--label",
        "Ada",
        "--wait",
        "-",
        text=FACT["text"],
    )
    assert (added.code, added.err) == (0, "")
    entry_id = added.out.strip()
    checked = remote(server, "check", "--prompt", LEAK["prompt"], LEAK["text"])
    assert (checked.code, checked.out.split()[0]) == (0, "block")
    assert entry_id in checked.out
    as_json = remote(server, "check", "--json", "--side", "prompt", "-", text="How do I cook soup?")
    assert json.loads(as_json.out)["action"] == "allow"
    listed = remote(server, "entries", "list", "--kind", "fact", "--label", "Ada")
    assert listed.out.startswith(entry_id)
    assert "Vellmar" not in listed.out
    assert "Vellmar" not in remote(server, "entries", "show", entry_id).out
    assert json.loads(remote(server, "entries", "show", entry_id, "--reveal").out)["content"]["text"] == FACT["text"]
    backup = tmp_path / "backup.ndjson"
    exported = remote(server, "entries", "export", "--out", str(backup))
    assert exported.code == 0, exported.err
    assert backup.stat().st_mode & 0o077 == 0
    removed = remote(server, "entries", "remove", entry_id, "--wait")
    assert (removed.code, "backup" in removed.err) == (0, True)
    assert remote(server, "check", LEAK["text"]).out.split()[0] == "allow"
    imported = remote(server, "entries", "import", str(backup))
    assert (imported.code, imported.out.split()[0]) == (0, "1")
    assert remote(server, "check", LEAK["text"]).out.split()[0] == "block"


def test_lines_that_cannot_be_imported_are_told(server: ServerProcess, tmp_path: Path) -> None:
    file = tmp_path / "some.ndjson"
    file.write_text('{"kind":"fact","text":"Bo Reed sells brass clocks."}\n{"kind":"poem","text":"a b c"}\nnonsense\n')
    ran = remote(server, "entries", "import", str(file))
    assert ran.code == 1
    assert ran.out.strip() == "1 entries added, 2 lines refused"
    assert "line 2: kind" in ran.err
    assert "line 3: is not valid JSON" in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["entries", "show", "ent_nothing"], "there is no entry"),
        (["entries", "remove", "ent_nothing"], "there is no entry"),
        (["entries", "add", "--kind", "fact", "!!!"], "no words"),
        (["entries", "add", "--kind", "fact", ""], "text:"),
        (["entries", "add", "--kind", "fact", "--expires-at", "soon", "a b c d"], "--expires-at"),
        (["entries", "import", "missing.ndjson"], "there is no file"),
        (["entries", "list", "--namespace", "a b"], "namespace"),
    ],
)
def test_what_is_refused_is_told_in_one_sentence(server: ServerProcess, arguments: list[str], words: str) -> None:
    ran = remote(server, *arguments)
    assert (ran.code, ran.out) == (1, "")
    assert words in ran.err
    assert len(ran.err.strip().splitlines()) == 1


def test_a_wrong_key_or_no_server_is_told(server: ServerProcess, tmp_path: Path) -> None:
    assert "not known" in remote(server, "entries", "list", key="lethe_a_b").err
    ran = lethe("entries", "list", "--url", "http://127.0.0.1:9", cwd=tmp_path)
    assert ran.code == 1
    assert "cannot be reached" in ran.err


def test_keys_are_made_on_the_store_shown_once_and_known_to_the_server(server: ServerProcess) -> None:
    made = lethe("keys", "create", "--role", "operator", "--namespace", "shop", cwd=server.cwd)
    assert made.code == 0
    secret = made.out.strip()
    key_id = secret.split("_")[1]
    listed = lethe("keys", "list", cwd=server.cwd).out
    assert key_id in listed
    assert secret.split("_", 2)[2] not in listed
    assert remote(server, "entries", "list", key=secret).code == 0
    assert lethe("keys", "revoke", key_id, cwd=server.cwd).code == 0
    assert "revoked" in lethe("keys", "list", cwd=server.cwd).out
    assert "revoked" in remote(server, "entries", "list", key=secret).err
    unknown = lethe("keys", "revoke", "nothing", cwd=server.cwd)
    assert (unknown.code, "no access key" in unknown.err) == (1, True)


def test_entries_work_on_a_store_without_a_server(tmp_path: Path) -> None:
    store = ("--store", "sqlite:///s.db")
    file = tmp_path / "f.ndjson"
    file.write_text(json.dumps(FACT) + "\n" + json.dumps({**FACT, "retention": "sealed"}) + "\n")
    imported = lethe("entries", "import", "f.ndjson", *store, cwd=tmp_path)
    assert (imported.code, imported.out.split()[0]) == (0, "2"), imported.err
    listed = lethe("entries", "list", *store, cwd=tmp_path)
    ids = [line.split()[0] for line in listed.out.splitlines()]
    assert len(ids) == 2
    assert lethe("entries", "remove", ids[1], *store, cwd=tmp_path).code == 0
    checked = lethe("check", LEAK["text"], *store, cwd=tmp_path)
    assert (checked.code, checked.out.split()[0]) == (0, "block"), checked.err
    both = lethe("check", "x", "--url", "http://127.0.0.1:9", *store, cwd=tmp_path)
    assert (both.code, "not both" in both.err) == (2, True)
    over = lethe("entries", "list", *store, cwd=tmp_path, env={"LETHE_URL": "http://127.0.0.1:9"})
    assert over.code == 0  # a flag wins over a variable


@pytest.mark.parametrize("name", [command.__name__.rsplit(".", 1)[1] for command in COMMANDS])
def test_every_command_explains_itself(name: str, tmp_path: Path) -> None:
    parser = build_parser()
    with pytest.raises(SystemExit) as ended:
        parser.parse_args([name, "--help"])
    assert ended.value.code == 0


@pytest.mark.parametrize(
    ("arguments", "env"),
    [
        ([], {}),
        (["sing"], {}),
        (["entries"], {}),
        (["entries", "add", "x"], {}),
        (["entries", "list", "--kind", "poem"], {}),
        (["keys", "create", "--role", "king"], {}),
        (["keys", "list"], {"LETHE_WHATEVER": "1"}),
        (["keys", "create"], {"LETHE_ROLE": "king"}),
        (["entries", "export"], {"LETHE_REVEAL": "perhaps"}),
    ],
)
def test_wrong_usage_is_2(arguments: list[str], env: dict[str, str], tmp_path: Path) -> None:
    ran = lethe(*arguments, cwd=tmp_path, env=env)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err
    assert "Traceback" not in ran.err


def test_a_variable_stands_for_an_option(tmp_path: Path) -> None:
    ran = lethe("keys", "create", cwd=tmp_path, env={"LETHE_ROLE": "auditor", "LETHE_DATA": "/benchmarks"})
    assert ran.code == 0, ran.err
    assert "role auditor" in ran.err
    flag = lethe("keys", "create", "--role", "app", cwd=tmp_path, env={"LETHE_ROLE": "auditor"})
    assert "role app" in flag.err


def test_status_shows_where_a_server_stands(server: ServerProcess, tmp_path: Path) -> None:
    shown = remote(server, "status")
    assert (shown.code, shown.err) == (0, "")
    assert "revision" in shown.out
    assert "cannot be reached" in shown.out
    assert "was not examined yet" in shown.out
    as_json = json.loads(remote(server, "status", "--json").out)
    assert as_json["upstream"] == {
        "url": "http://127.0.0.1:9",
        "reachable": False,
        "examined_at": None,
        "findings": None,
    }
    assert lethe("status", "--url", "http://127.0.0.1:9", cwd=tmp_path).code == 1
