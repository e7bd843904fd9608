"""Other tools and papers: their results read, runs exported, their models, cotkit inside them.

Nothing here imports Inspect or lm-evaluation-harness unless it is already in use.
"""
