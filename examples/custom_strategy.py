"""A strategy of your own: ``cotkit compare --strategy ./examples/custom_strategy.py``.

It asks for the answer twice, the second time after seeing the first answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cotkit.types import Attempt, Decoding, Flow, Message, Question, Request


@dataclass(frozen=True, kw_only=True)
class CustomStrategy:
    """The file is ``custom_strategy.py``, so the class is ``CustomStrategy``."""

    control: ClassVar[str] = "standard"
    reasons: ClassVar[bool] = False
    max_tokens: int = 64

    def solve(self, question: Question) -> Flow:
        """Yield a request, be sent its completions, yield the next; return what is to be read."""
        decoding = Decoding(max_tokens=self.max_tokens, stop=("\nQ:",))
        ask = Message(role="user", content=f"Q: {question.text}\nA: The answer is")
        (first,) = yield Request(messages=(ask,), decoding=decoding)
        said = Message(role="assistant", content=first.text)
        again = Message(role="user", content="\nChecked once more, the answer is")
        (second,) = yield Request(messages=(ask, said, again), decoding=decoding)
        return Attempt(text=f"The answer is{second.text}", stop_reason=second.stop_reason)
