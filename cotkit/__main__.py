"""``python -m cotkit`` is ``cotkit``."""

import os
import sys

if sys.path and sys.path[0] == os.getcwd() and not sys.flags.safe_path:  # noqa: PTH109 - as it is
    del sys.path[0]  # as the command cotkit: no module of the working folder is imported

from cotkit.cli import main

if __name__ == "__main__":
    main()
