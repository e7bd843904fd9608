"""Which attempt is next: problem by problem, all arms of one before any of the next.

Problems are taken in the order in which they were drawn, which is random: whatever ends a run
early leaves every arm with the same random subset.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Literal, TypeAlias

from cotkit.bench import draw_order
from cotkit.run.budget import Meter
from cotkit.run.plan import Arm, Plan
from cotkit.store import AttemptRow
from cotkit.types import Problem

Job: TypeAlias = tuple[int, Arm, Problem]
"""Position in the plan, arm, problem."""

Enough: TypeAlias = Callable[[Mapping[str, AttemptRow]], bool]
"""Told each problem's attempts (arm -> row), in the order drawn; True: no more are needed."""

_MOST_OPEN = 32  # a full batch of a local model
EndedBy: TypeAlias = Literal["budget", "decided"]


class Schedule:
    """The jobs of a run that are still to be done, and whether to go on handing them out."""

    def __init__(
        self,
        plan: Plan,
        begun: Sequence[AttemptRow],
        *,
        meter: Meter | None = None,
        enough: Enough | None = None,
        most_open: int | None = None,
    ) -> None:
        """``begun``: the attempts of earlier calls; only the failed ones are handed out again.

        ``most_open``: problems under way at once where time is limited or looking may end the run
        (None: 32); else all there are.
        """
        self._plan, self._meter, self._enough = plan, meter, enough
        may_end = enough is not None or (meter is not None and meter.is_timed)
        self._most_open = (most_open or _MOST_OPEN) if may_end else len(plan.problems)
        self._order = draw_order(plan.problems, plan.spec.seed)
        self._position = {p.question.id: i for i, p in enumerate(plan.problems)}
        held = [row for row in begun if row.outcome != "failed"]
        self._done = {(row.arm, row.problem_id) for row in held}
        self._begun = {row.problem_id for row in begun}
        self._untold: dict[str, dict[str, AttemptRow]] = {}
        self._n_told = 0
        self._open: dict[str, int] = {}
        self._failed: set[str] = set()
        self._closed = asyncio.Event()
        self.ended_by: EndedBy | None = None
        """Why the run ended before its plan did; None: it did not."""
        for row in held:
            self._tell(row)

    @property
    def n_left(self) -> int:
        """Attempts that are not done."""
        return len(self._plan.arms) * len(self._plan.problems) - len(self._done)

    async def jobs(self) -> AsyncIterator[Job]:
        """Every job left, until there is a reason to stop; asks the meter before each problem."""
        for problem in self._order:
            name = problem.question.id
            arms = [a for a in enumerate(self._plan.arms) if (a[1].name, name) not in self._done]
            if not arms:
                continue
            if self.ended_by or await self._is_over(is_new=name not in self._begun):
                return
            self._open[name] = len(arms)
            for i, arm in arms:
                yield self._position[name] * len(self._plan.arms) + i, arm, problem

    def done(self, row: AttemptRow) -> None:
        """An attempt is in the store."""
        self._done.add((row.arm, row.problem_id))
        if row.outcome == "failed":
            self._failed.add(row.problem_id)
        self._open[row.problem_id] -= 1
        if not self._open[row.problem_id]:
            del self._open[row.problem_id]
            self._closed.set()
            if self._meter is not None and row.problem_id not in self._failed:
                self._meter.problem_done()  # one that failed says nothing of what one takes
        self._tell(row)

    async def _is_over(self, *, is_new: bool) -> bool:
        """Wait while the problems under way may end the run; True if they have.

        What an earlier call left open is closed before any new problem: it may decide the run.
        """
        while True:
            spent = self._meter is not None and self._meter.exhausted(len(self._open)) is not None
            if spent and not self._open:
                self.ended_by = self.ended_by or "budget"
            if self.ended_by is not None:
                return True
            mending = is_new and self._enough and not self._begun.isdisjoint(self._open)
            if not spent and not mending and len(self._open) < self._most_open:
                return False
            self._closed.clear()
            await self._closed.wait()

    def _tell(self, row: AttemptRow) -> None:
        """Pass problems on as they complete, in the order drawn and not in that of arrival."""
        if self._enough is None:
            return
        self._untold.setdefault(row.problem_id, {})[row.arm] = row
        while self._n_told < len(self._order):
            name = self._order[self._n_told].question.id
            if len(self._untold.get(name, ())) < len(self._plan.arms):
                return
            self._n_told += 1
            if self._enough(self._untold.pop(name)):
                self.ended_by = self.ended_by or "decided"
