"""What a run comes to, as named numbers, for trackers that keep numbers."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from cotkit.events import AttemptDone, Event, GainFound, RunEnded


@dataclass(kw_only=True, slots=True)
class RunTotals:
    """Counts the attempts of one run."""

    _outcomes: Counter[tuple[str, bool | None]] = field(default_factory=Counter, init=False)

    def add(self, event: Event) -> dict[str, float]:
        """Take an event; return the numbers that it completes.

        At the end of a run the solve rate of each arm, 0..1, tokens, seconds, dollars if known;
        then each gain with its interval, -1..1. Names hold letters, digits and ``_-./ :`` only.
        """
        values: dict[str, float] = {}
        match event:
            case AttemptDone():
                is_right = None if event.outcome == "failed" else event.outcome == "correct"
                self._outcomes[event.arm, is_right] += 1
            case RunEnded():
                for arm in dict.fromkeys(arm for arm, _ in self._outcomes):
                    n_right, n_wrong = self._outcomes[arm, True], self._outcomes[arm, False]
                    if n_right + n_wrong:
                        values[f"solve_rate/{arm}"] = n_right / (n_right + n_wrong)
                values |= {"tokens": event.n_tokens, "seconds": event.seconds}
                values |= {"done": event.n_done, "failed": event.n_failed}
                if event.usd is not None:
                    values["usd"] = event.usd
            case GainFound():
                name = f"{event.arm} over {event.control}"
                ends = {"gain": event.gain, "gain_low": event.low, "gain_high": event.high}
                values = {f"{key}/{name}": value for key, value in ends.items()}
            case _:
                pass
        return {plain_name(name): value for name, value in values.items()}


def plain_name(name: str) -> str:
    """Return a name of letters, digits and ``_-./ :``, which every tracker takes."""
    return re.sub(r"[^\w\-./ :]", "_", name)
