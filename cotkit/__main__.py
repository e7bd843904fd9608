"""``python -m cotkit`` is ``cotkit``."""

from cotkit.cli import main

if __name__ == "__main__":
    main()
