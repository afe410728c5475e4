"""`python -m bench [NAME …]`: run benchmarks, all of them by default. Each writes its section of docs/benchmarks.md."""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = (
    "detection",
    "claims",
    "concepts",
    "calibration",
    "robustness",
    "backends",
    "lattice",
    "languages",
    "latency",
    "throughput",
)


def main() -> int:
    """Run the benchmarks that were named; options after `--` go to each."""
    names = sys.argv[1:]
    options: list[str] = []
    if "--" in names:
        at = names.index("--")
        names, options = names[:at], names[at + 1 :]
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in names or BENCHMARKS:
        sys.argv = [f"bench {name}", *options]
        print(f"== {name}", flush=True)
        importlib.import_module(f"bench.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
