"""lm-evaluation-harness: its results read, ours written, and cotkit inside its tasks."""
