"""Rows and counts in, numbers out: no I/O, no clock, no random state of its own.

``intervals`` and ``hypotheses`` hold the estimators, ``power`` the planning, ``labels`` the rule
that turns an interval into a word; ``comparison`` puts them together and fills ``results``.
Formulas, assumptions and sources are in ``docs/statistics.md``. Only ``scale.analysis`` and what it
is made of (``resampling``, ``clustered``, ``curves``) import numpy: no other report waits for it.
"""
