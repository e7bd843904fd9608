"""Does chain-of-thought help a real model? The main job, as ``make demo`` runs it.

GSM8K if it is on this machine or can be downloaded, else our own gsm-mini; says which.
"""

from __future__ import annotations

import subprocess
import sys

from cotkit.bench import load_benchmark
from cotkit.errors import MissingDataError
from cotkit.registry import parse_spec


def choose_bench() -> str:
    """``gsm8k`` where it can be had, else ``gsm-mini``."""
    try:
        load_benchmark(parse_spec("gsm8k")).problems()
    except MissingDataError as missing:
        print(f"{missing}\nSo this demo uses gsm-mini.\n", flush=True)
        return "gsm-mini"
    print("GSM8K is here, so this demo uses it.\n", flush=True)
    return "gsm8k"


def main() -> int:
    """Run the comparison; its exit status."""
    command = ["compare", "--strategy", "cot", "--bench", choose_bench(), "--limit", "24"]
    print(f"$ cotkit {' '.join(command)}\n", flush=True)
    return subprocess.run([sys.executable, "-m", "cotkit", *command], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
