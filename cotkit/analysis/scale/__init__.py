"""Where a strategy starts to help as models grow, and whether a jump is real.

``grid`` is what goes in, ``values`` what comes out: read them first. Rules and formulas are in
``docs/statistics.md``, "Scale". Modules that draw or fit import numpy where they are used.
"""
