"""`lethe demo`: everything on one machine, on a tiny model."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "demo",
        help="see it work on this machine, on a tiny model",
        description="Trains a tiny model that memorises a small corpus, serves it, guards it, and shows both answers.",
    )
    parser.add_argument("--once", action="store_true", help="show the transcript and end; 0 only if it all held")
    parser.add_argument("--port", type=int, default=8080, help="port of the guarded endpoint (default 8080)")
    parser.add_argument("--cache", type=Path, help="where the trained model is kept")
    parser.add_argument(
        "--model-server", choices=["auto", "vllm", "transformers"], default="auto", help="(default auto)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, variables: Mapping[str, str]) -> int:
    """Run the demonstration."""
    from server.demo.command import run_demo  # noqa: PLC0415  # it needs what a server does not

    return run_demo(once=options.once, port=options.port, cache=options.cache, model_server=options.model_server)
