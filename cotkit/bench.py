"""The old name of :mod:`cotkit.benchmarks` and its submodules, kept for one version."""

import warnings

from cotkit import benchmarks
from cotkit.benchmarks import *  # noqa: F403

warnings.warn("cotkit.bench is cotkit.benchmarks now", DeprecationWarning, stacklevel=2)
__path__ = benchmarks.__path__
