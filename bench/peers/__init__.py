"""Lethe beside other proxies, on the same mock model server and with the same load: `python -m bench peers`."""

from bench.peers.side_by_side import main

__all__ = ["main"]
