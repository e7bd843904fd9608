"""Inspect: its logs read, ours written, and cotkit inside its tasks."""
