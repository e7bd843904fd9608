"""When may a run stop: an interval of the mean paired difference that may be looked at all along.

An ordinary interval holds at a number of problems fixed before the run; looked at after every
problem, it misses the truth sooner or later. A confidence sequence holds at all numbers at once, so
a run may stop whenever it likes what it sees (docs/statistics.md, "Stopping early").
"""

from __future__ import annotations

import math

from cotkit.stats.intervals import Interval

_N_STAKES = 32
_STAKES = tuple((2 * i + 1) / (2 * _N_STAKES) for i in range(_N_STAKES))
"""Shares of its capital that a bettor may stake, each with the same start capital: a uniform
mixture, as in Cover's universal portfolio."""

_HALVINGS = 20  # of the stretch that an end may move: a millionth of it is left, on the safe side

_Counts = tuple[int, int, int]  # of differences below 0, at 0, above 0


class ConfidenceSequence:
    """Holds the mean of the differences at every moment at once, with chance at least ``level``.

    The differences must come in an order that says nothing of them: problems in a seeded random
    order, and not as they happen to finish (short answers finish first, and are right more often).

    For every mean m that could be, a bettor stakes a share s of his capital on "more than m": a
    difference d multiplies it by ``1 + s (d - m) / (1 + m)``, which is fair if the mean is m. So
    the capital, averaged over the shares s, passes 2 / (1 - level) with chance (1 - level) / 2 at
    most (Ville 1939), and every m at which it has done so is given up. It falls as m rises, so
    what is given up lies below one end; the other end is the mirror image. Capital by betting:
    Waudby-Smith and Ramdas 2024 (arXiv:2010.09686), sections 4 and 5; mixed stakes: Orabona and
    Jun 2024 (arXiv:2110.14099). Of three-valued differences only the counts matter.
    """

    def __init__(self, level: float) -> None:
        if not 0 < level < 1:
            raise ValueError(f"level must be between 0 and 1, not {level}")
        self._level = level
        to_pass = math.log(2 / (1 - level))
        self._low, self._high = _End(to_pass), _End(to_pass)  # the high one with all signs turned
        self._counts = [0, 0, 0]  # worse, the same, better
        self._most = 0.0  # log capital against a mean of 0, on the better of both sides, so far

    def update(self, difference: int) -> None:
        """Take the next difference: 1 if only the arm was right, -1 if only its control, else 0.

        Raises:
            ValueError: any other number.
        """
        if difference not in {-1, 0, 1}:
            raise ValueError(f"a paired difference is -1, 0 or 1, not {difference}")
        self._counts[difference + 1] += 1
        worse, same, better = self._counts
        # The ends cross at most once in 1 / (1 - level) runs; then they stay where they met.
        self._low.update(difference, (worse, same, better), -self._high.at)
        self._high.update(-difference, (better, same, worse), -self._low.at)
        if difference:  # no other changes what was won against a mean of 0
            won, lost = (better, worse) if difference > 0 else (worse, better)
            self._most = max(self._most, _log_capital(0.0, (lost, same, won)))

    @property
    def n(self) -> int:
        """Differences taken."""
        return sum(self._counts)

    @property
    def interval(self) -> Interval:
        """What no moment so far has given up: it only ever narrows; -1 to 1 at the start."""
        return Interval(low=self._low.at, high=-self._high.at, level=self._level)

    @property
    def p_value(self) -> float:
        """Two-sided, of a mean of 0; below a with chance at most a, over all moments together."""
        return min(1.0, 2 * math.exp(-self._most))


def is_decided(interval: Interval, margin: float) -> bool:
    """Return whether more problems can no longer change the answer: is the gain material?

    True once the interval lies above the margin (``helps``) or below it (``harms``,
    ``some_help``, ``no_material_help``: among these, more problems may still tell). Of an
    interval that only narrows; ends that touch the margin do not cross it.
    """
    return interval.low > margin or interval.high < margin


def shared_level(level: float, n_pairs: int) -> float:
    """Return the level of each of several sequences that are to hold together (Bonferroni).

    Sidak's slightly smaller share is not proved for sequences that depend on one another.

    Raises:
        ValueError: there is no pair.
    """
    if n_pairs < 1:
        raise ValueError(f"{n_pairs} pairs share no level")
    return 1 - (1 - level) / n_pairs


class _End:
    """The end of an interval below which every mean is given up; it only rises."""

    def __init__(self, to_pass: float) -> None:
        """Start below every mean; ``to_pass``: the log capital at which a mean is given up."""
        self.at = -1.0
        self._to_pass = to_pass
        self._missing = 0.0  # what the log capital at the end must win, at least, to pass

    def update(self, difference: int, counts: _Counts, most: float) -> None:
        """Move after a difference, which ``counts`` hold already, unless beyond ``most``."""
        worse, same, better = counts
        mean = (better - worse) / (worse + same + better)  # from here on nothing is given up
        if difference < 0 or mean <= self.at:
            return
        if self.at > -1:
            # One difference wins no more than this; mostly that says enough, and saves a look.
            self._missing -= math.log1p(difference) - math.log1p(min(self.at, float(difference)))
            if self._missing > 0:
                return
            self._missing = self._to_pass - _log_capital(self.at, counts)
            if self._missing > 0:
                return
        low, high = self.at, mean
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if _log_capital(middle, counts) >= self._to_pass:
                low = middle
            else:
                high = middle
        if low <= most:
            self.at, self._missing = low, 0.0


def _log_capital(mean: float, counts: _Counts) -> float:
    """Return the log capital won against "the mean is at most ``mean``", averaged over stakes."""
    worse, same, better = counts
    tie, win = -mean / (1 + mean), (1 - mean) / (1 + mean)
    logs = [
        worse * math.log1p(-stake)
        + same * math.log1p(stake * tie)
        + better * math.log1p(stake * win)
        for stake in _STAKES
    ]
    top = max(logs)
    return top + math.log(math.fsum(math.exp(log - top) for log in logs) / _N_STAKES)
