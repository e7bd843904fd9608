"""Trackers: one file each, told every event of a run; the name of the file is its name."""
