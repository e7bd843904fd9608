"""``cotkit lab icl``: which function classes a transformer can select in context (2311.00871)."""
