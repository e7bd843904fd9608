"""Rows and counts in, numbers out: no I/O, no clock, no random state of its own.

``values`` holds what comes out: read it first. ``gains`` holds the one estimator and the rule that
turns an interval into a label; ``comparison`` puts everything together. ``scale`` does the same
over model sizes. Formulas, assumptions and sources are in ``docs/statistics.md``.
"""
