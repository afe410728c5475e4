"""A mock model server and a load generator for measurements of speed, each on a core of its own."""
