"""Results that other programs or papers hold, read as grids; and ours, written as theirs.

``published`` are the tables that ship with cotkit, ``sources`` reads ``--from``. Each reader gives
``Result``s (``values.py``); ``grids`` puts them in order for ``cotkit.analysis.scale``.
"""
