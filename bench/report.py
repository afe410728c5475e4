"""Where measured figures go: a section per benchmark in docs/benchmarks.md, with the command beside it."""

from __future__ import annotations

import platform
import re
from datetime import UTC, datetime
from pathlib import Path

import psutil

from index.calibration import clopper_pearson

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "benchmarks.md"
HEAD = """# Benchmarks

Every figure on this page was measured by the command above it, which also writes it here. Speeds are ratios to a
baseline of the same run: the machines they were measured on are small and noisy. A figure that falls short of its aim
stays on the page.
"""


def machine() -> str:
    """One line about where a figure was measured."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file() and (found := re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text())):
        model = found[1].strip()
    memory = psutil.virtual_memory().total / 2**30
    when = datetime.now(UTC).date().isoformat()
    where = f"{model or platform.processor()}, {psutil.cpu_count()} cores, {memory:.0f} GiB"
    return f"{when}, {where}, Python {platform.python_version()}"


def write_section(name: str, title: str, command: str, body: str) -> None:
    """Put a benchmark's section into the page, in the place of its former one."""
    text = PAGE.read_text("utf-8") if PAGE.is_file() else HEAD
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    section = f"{begin}\n## {title}\n\n`{command}` · {machine()}\n\n{body.strip()}\n{end}"
    if begin in text:
        text = re.sub(re.escape(begin) + ".*?" + re.escape(end), lambda _: section, text, flags=re.DOTALL)
    else:
        text = text.rstrip() + "\n\n" + section + "\n"
    PAGE.write_text(text, "utf-8")


def interval(hits: int, n: int) -> str:
    """A share with its 95 % Clopper-Pearson interval, in per cent."""
    if not n:
        return "none"
    low, high = clopper_pearson(hits, n)
    return f"{hits}/{n} = {100 * hits / n:.2f} % [{100 * low:.2f}, {100 * high:.2f}]"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
