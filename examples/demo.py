"""Does chain-of-thought help a real model, and from which size on? As ``make demo`` runs it.

First our own arithmetic on a model of 135 million parameters, which takes a minute or two; then the
main job, GSM8K on the default model, or our own gsm-mini where GSM8K cannot be had; says which.
Last the family that comes with cotkit, nine sizes, on chains of eight steps.
"""

from __future__ import annotations

import subprocess
import sys

from cotkit.benchmarks import load_benchmark
from cotkit.errors import MissingDataError
from cotkit.registry import parse_spec

ARITHMETIC = "arithmetic:steps=2,digits=1"
"""Two additions of numbers from 1 to 9: the smallest model cannot do both at once."""

LADDER = "arithmetic:steps=8,operators=+-"
"""Eight additions and subtractions of one digit."""
MARGIN = ("--margin", "10")
"""100 problems cannot show the absence of a smaller gain."""


def main() -> int:
    """Run all three; the exit status of the first that fails, or 0."""
    print("First the quick one: additions in two steps, on a very small model.\n", flush=True)
    quick = ("--model", "smollm2-135m", "--bench", ARITHMETIC, "--limit", "40")
    return (
        _cotkit("compare", *quick)
        or _cotkit("compare", "--bench", _word_problems(), "--limit", "24")
        or _ladder()
    )


def _ladder() -> int:
    print(
        "\nLast, from which size on? Nine sizes of the family that comes with cotkit.\n", flush=True
    )
    return _cotkit("scale", "--family", "pocket", "--bench", LADDER, "--limit", "100", *MARGIN)


def _word_problems() -> str:
    """``gsm8k`` where it can be had, else ``gsm-mini``."""
    try:
        load_benchmark(parse_spec("gsm8k")).problems()
    except MissingDataError as missing:
        print(f"\nNow word problems on the default model. {missing}", flush=True)
        print("So this part uses gsm-mini.\n", flush=True)
        return "gsm-mini"
    print("\nNow word problems on the default model, from GSM8K.\n", flush=True)
    return "gsm8k"


def _cotkit(verb: str, *options: str) -> int:
    command = [verb, "--strategy", "cot", *options]
    print(f"$ cotkit {' '.join(command)}\n", flush=True)
    return subprocess.run([sys.executable, "-m", "cotkit", *command], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
