"""Benchmarks: the floor and the agent on the same work, in one run. `python -m benchmarks --help`."""
