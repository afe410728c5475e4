"""Environments of the peers, each of its own, installed from public packages at pinned versions into a cache folder."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

FOLDER = Path(__file__).resolve().parent
LOCKS, FILES = FOLDER / "locks", FOLDER / "files"


class NotInstalled(Exception):
    """A peer could not be installed here. The message says why, in one line."""


def _run(command: Sequence[str], folder: Path) -> str:
    """A command's output. Raises `NotInstalled` with its last line when it fails."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=1200)
    except (OSError, subprocess.TimeoutExpired) as cause:
        raise NotInstalled(f"{command[0]}: {type(cause).__name__}") from cause
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise NotInstalled(f"{' '.join(command[:3])} ended with status {done.returncode}: {lines[-1][:200]}")
    return done.stdout


def _place(cache: Path, lock: Path) -> tuple[Path, bool]:
    """The folder of what a lock file describes, and whether it is complete."""
    name = f"{lock.stem}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    place = cache / "peers" / name
    place.mkdir(parents=True, exist_ok=True)
    return place, (place / "complete").is_file()


def python(name: str, cache: Path) -> Path:
    """The interpreter of an environment with exactly the packages of `locks/NAME.txt`: nothing else is drawn in."""
    lock = LOCKS / f"{name}.txt"
    place, complete = _place(cache, lock)
    found = place / "bin" / "python"
    with FileLock(place.with_suffix(".lock")):
        if not complete:
            _run([sys.executable, "-m", "venv", "--clear", str(place)], FOLDER)
            _run([str(found), "-m", "pip", "install", "-q", "--no-deps", "-r", str(lock)], FOLDER)
            (place / "complete").touch()
    return found


def portkey(cache: Path) -> Path:
    """The start script of Portkey's gateway."""
    lock = LOCKS / "portkey.json"
    place, complete = _place(cache, lock)
    if not complete:
        if not shutil.which("npm"):
            raise NotInstalled("there is no npm here")
        shutil.copy(lock, place / "package.json")
        _run(["npm", "install", "--silent", "--no-audit", "--no-fund"], place)
        (place / "complete").touch()
    return place / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"


def nginx(cache: Path) -> Path:
    """Debian's nginx: the installed one, or that of the package, unpacked into the cache folder."""
    installed = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if installed:
        return Path(installed)
    place = cache / "peers" / "nginx"
    found = place / "usr" / "sbin" / "nginx"
    if not found.is_file():
        if not shutil.which("apt-get"):
            raise NotInstalled("nginx is not installed, and there is no apt-get here")
        place.mkdir(parents=True, exist_ok=True)
        _run(["apt-get", "download", "nginx"], place)
        for package in place.glob("nginx_*.deb"):
            _run(["dpkg", "-x", package.name, "."], place)
    return found


def version(name: str, lock: str) -> str:
    """The pinned version of a package in a lock file."""
    found = re.search(rf"{re.escape(name)}\"?(?:==|\": \")([\w.]+)", (LOCKS / lock).read_text())
    return found[1] if found else "?"
