"""Strategies: how a question becomes requests. One file each, pure; the file name is the name.

A strategy is a frozen dataclass with a ``control`` and a ``solve`` that is a generator: it yields
requests, is sent completions, and returns the text to read. It never sees the gold answer, a
backend or a store. Its words lie in ``prompts/``. To test one, call ``next(flow)`` and
``flow.send(...)``.
"""
