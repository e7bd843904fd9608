"""Inspect: its logs read, our runs as its logs, and our strategies as its solvers."""
