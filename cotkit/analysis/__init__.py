"""Rows and counts in, numbers out: no I/O, no clock, no random state of its own.

``intervals`` and ``hypotheses`` hold the estimators, ``power`` the planning, ``labels`` the rule
that turns an interval into a word; ``comparison`` puts them together and fills ``results``.
Formulas, assumptions and sources are in ``docs/statistics.md``. Nothing here imports numpy or
scipy: a report must not wait a second for a library that it needs for one root.
"""
