"""`python -m bench [NAME …]`: run benchmarks, all of them by default. Each writes its section of docs/benchmarks.md."""

from __future__ import annotations

import importlib
import signal
import sys

BENCHMARKS = (
    "detection",
    "static",
    "claims",
    "concepts",
    "calibration",
    "robustness",
    "backends",
    "lattice",
    "leak",
    "batching",
    "languages",
    "latency",
    "delay",
    "throughput",
    "workers",
    "scale",
    "stopping",
    "peers",
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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that servers are ended, too
    for name in names or BENCHMARKS:
        sys.argv = [f"bench {name}", *options]
        print(f"== {name}", flush=True)
        importlib.import_module(f"bench.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
