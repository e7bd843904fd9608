"""At home in Inspect and lm-evaluation-harness: what they call, and their models as backends.

Nothing here imports either of them unless it is already in use.
"""
