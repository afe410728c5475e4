"""Models that are asked about what the other stages cannot decide."""
