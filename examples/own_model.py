"""Any function from prompt to text is a model."""

from __future__ import annotations

import re

import cotkit


def careless_adder(prompt: str) -> str:
    """Adds all numbers of the last question; shows its work only where the exemplars do."""
    question = prompt.rpartition("Q: ")[2]
    numbers = [int(digits) for digits in re.findall(r"\d+", question)]
    work = f" {' + '.join(map(str, numbers))} = {sum(numbers)}." if " = " in prompt else ""
    return f"{work} The answer is {sum(numbers)}."


comparison = cotkit.compare(careless_adder, "cot", bench="gsm-mini", limit=30)
print(comparison.verdicts[0].sentence)
