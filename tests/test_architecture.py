"""The layers, the absence of cycles, the sizes, and the few rules that a reader relies on, read from the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS: dict[str, frozenset[str]] = {
    "guard": frozenset(),
    "index": frozenset({"guard"}),
    "server": frozenset({"guard", "index"}),
    "unlearn": frozenset({"guard", "index"}),
    "redteam": frozenset({"guard"}),
}
LAZY: dict[str, frozenset[str]] = {"server": frozenset({"redteam", "unlearn"})}
LONGEST_FILE, LONGEST_FUNCTION, MOST_ARGUMENTS = 300, 50, 6
IO = {"asyncio", "io", "os", "pathlib", "random", "secrets", "shutil", "socket", "sqlite3", "subprocess", "tempfile"}
IMPURE = IO | {"threading", "time", "urllib", "logging", "aiohttp", "httpx", "faiss", "torch", "sentence_transformers"}
BANNED_WORDS = re.compile(r"manager|helper|util|handler|processor|misc|_v2", re.IGNORECASE)


def sources(*packages: str) -> list[Path]:
    return sorted(p for name in packages for p in (ROOT / name).rglob("*.py"))


ALL = sources(*LAYERS)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, everywhere: bool = True) -> Iterator[str]:
    """Modules that a file imports; at top level only unless `everywhere`. Type-checking imports do not run."""
    tree = ast.parse(path.read_text())
    nodes = list(ast.walk(tree)) if everywhere else list(_at_top(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module
            yield node.module
            if (ROOT / node.module.replace(".", "/")).is_dir():
                yield from (f"{node.module}.{a.name}" for a in node.names)


def _at_top(tree: ast.Module) -> Iterator[ast.AST]:
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from ast.walk(node)


@pytest.mark.parametrize("path", ALL, ids=module_name)
def test_imports_go_down(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    for name in imports(path):
        top = name.split(".")[0]
        if top == package or top not in LAYERS:
            assert top not in ("tests", "bench"), f"{path} imports {top}"
            continue
        lazily = top in LAZY.get(package, frozenset()) and name not in set(imports(path, everywhere=False))
        assert top in LAYERS[package] or lazily, f"{path} imports {name}: {package} may not know {top}"


def test_there_are_no_import_cycles() -> None:
    modules = {module_name(p): p for p in ALL}
    graph = {name: {i for i in imports(path, everywhere=False) if i in modules} for name, path in modules.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, "cycle: " + " -> ".join([*trail[trail.index(name) :], name])
        if name in done:
            return
        for other in sorted(graph[name] - {name}):
            visit(other, (*trail, name))
        done.add(name)

    for name in sorted(graph):
        visit(name, ())


@pytest.mark.parametrize("path", ALL, ids=module_name)
def test_files_functions_and_signatures_stay_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= LONGEST_FILE, f"{path} has {text.count(chr(10))} lines: split it by noun"
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        assert length <= LONGEST_FUNCTION, f"{path}: {node.name} has {length} lines"
        arguments = [a.arg for a in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]]
        count = len([a for a in arguments if a not in ("self", "cls")])
        assert count <= MOST_ARGUMENTS, f"{path}: {node.name} takes {count} arguments"


def test_only_settings_read_the_environment() -> None:
    readers = {
        str(path.relative_to(ROOT))
        for path in ALL
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute | ast.Name)
        and (getattr(node, "attr", None) or getattr(node, "id", None)) in ("environ", "getenv", "environb")
    }
    assert readers <= {"server/settings.py"}


@pytest.mark.parametrize("path", sources("guard"), ids=module_name)
def test_the_guard_is_pure(path: Path) -> None:
    """No I/O, clock, environment, randomness: what it needs from outside is an argument."""
    assert not {name.split(".")[0] for name in imports(path)} & IMPURE
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("open", "print", "input", "exec", "eval"), f"{path} calls {node.func.id}"
        assert not isinstance(node, ast.Global | ast.Nonlocal), f"{path} keeps state in a global"


@pytest.mark.parametrize("path", ALL, ids=module_name)
def test_files_are_named_after_nouns(path: Path) -> None:
    assert not BANNED_WORDS.search(path.stem)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            assert not BANNED_WORDS.search(node.name), f"{path}: {node.name}"


@pytest.mark.parametrize("path", ALL, ids=module_name)
def test_public_names_have_docstrings_and_exceptions_reasons(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    if text.strip():
        assert ast.get_docstring(tree), f"{path} does not say what it is"
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path}: {node.name} has no docstring"
    for number, line in enumerate(text.splitlines(), 1):
        for mark in ("noqa", "type: ignore"):
            if mark in line:
                assert re.search(r"#.*#|# .*[-:;] .*", line.split(mark, 1)[1]) or "  # " in line.split(mark, 1)[1], (
                    f"{path}:{number}: an exception to the lint rules needs its reason beside it"
                )


def test_the_rules_of_this_test_see_their_breaches(tmp_path: Path) -> None:
    """The checks above can fail: a file that breaks each of them is noticed."""
    bad = tmp_path / "bad.py"
    bad.write_text("import os\nfrom server import app\nX = os.environ\n")
    assert set(imports(bad)) >= {"os", "server"}
    assert IMPURE & {name.split(".")[0] for name in imports(bad)} == {"os"}
    assert BANNED_WORDS.search("stream_helper")
