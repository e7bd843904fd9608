"""lm-evaluation-harness: its results read, our runs as its files, our strategies as its tasks."""
