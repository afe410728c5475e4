"""What the soak and the measurements of stopping share: invented texts, a model server that says them, a client."""
