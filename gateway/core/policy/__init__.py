"""The Cedar bundle: load, evaluate, explain."""
