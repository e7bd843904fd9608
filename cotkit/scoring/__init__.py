"""Scoring: from a text to an exact answer, and from an answer to an outcome. Pure, versioned.

A panel of readers reads a text side by side (:data:`READERS`), cotkit's and those of other tools;
the reader that a run chose decides the outcome.
"""

from cotkit.scoring.readers import READERS
from cotkit.scoring.score import SCORER_VERSION, score_attempt

__all__ = ["READERS", "SCORER_VERSION", "score_attempt"]
