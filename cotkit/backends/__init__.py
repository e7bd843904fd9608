"""Backends: requests in, completions out. One adapter each; its SDK is imported only inside it.

A backend is a dataclass whose first field is ``model``; its other fields are ``--model-args``. The
fields ``notify``, ``problems`` and ``recorded`` are filled in by the run where a class has them.
"""
