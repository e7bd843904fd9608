"""Execute a plan: drive every missing attempt, commit every completion as it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from cotkit.benchmarks import draw_order
from cotkit.errors import BackendError, CotkitError, UsageError
from cotkit.events import AttemptDone, Event, RunEnded, RunStarted, Said, Waits
from cotkit.identity import backend_key, canonical_json
from cotkit.protocols import Backend, WaitingBackend
from cotkit.run.asker import Asker, StoredAsker
from cotkit.run.budget import Meter
from cotkit.run.driver import Run, Turn, drive, make_oracle, start_flow
from cotkit.run.likelihood import chain_text, make_likelihood_request, options_to_weigh
from cotkit.run.plan import Arm, Plan
from cotkit.run.sandbox import make_sandbox
from cotkit.run.spec import RunSpec
from cotkit.scoring import score, score_attempt
from cotkit.scoring.measure import measure_attempt
from cotkit.store import AttemptRow, BatchLedger, DraftRow, Store
from cotkit.types import Attempt, BackendInfo, Completion, Problem, Request

_MAX_WAITING = 4096  # flows held open at once for a backend that sets no limit: bounds memory
_WATCH_S = 1.0


@runtime_checkable
class _BatchHolder(Protocol):
    """A backend that collects what lies in a provider's batches."""

    ledger: object


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionResult:
    """What a run came to."""

    rows: tuple[AttemptRow, ...]
    """All its attempts so far, in plan order."""
    ended_by: EndedBy | None
    """Why it ended before its plan did; None: it did not."""


async def execute_plan(
    plan: Plan,
    backend: Backend,
    store: Store,
    emit: Callable[[Event], None],
    *,
    meter: Meter,
    enough: StopRule | None = None,
) -> ExecutionResult:
    """Complete a run; what the store has is not asked again.

    ``meter`` counts what it takes and ends it when a budget is used up, ``enough`` when it is
    decided; both between problems, so that every arm has the same ones.

    A transient backend error makes its attempt ``failed`` (tried again on resume); any other error
    ends the run. Cancelling keeps every completion that had arrived.
    """
    info = backend.info
    weighs = "loglikelihood" in info.capabilities
    if plan.spec.likelihood and not weighs:
        raise UsageError(
            f"{info.model} cannot score given answers (log-likelihood)",
            hint="leave out --likelihood, or take a local model",
        )
    run_id, key = plan.run_id(info), backend_key(info)
    begun = await _begin(plan, info, store, emit)
    held = [row for row in begun if row.outcome != "failed"]
    schedule = JobQueue(plan, begun, meter=meter, enough=enough, most_open=info.max_concurrency)
    emit(
        RunStarted(
            run_id=run_id,
            model=info.model,
            bench=plan.spec.bench,
            n_attempts=len(plan.arms) * len(plan.problems),
            n_cached=len(held),
            arms=tuple(arm.name for arm in plan.arms),
        )
    )
    for row in held:
        emit(_attempt_event(row, cached=True))
    promised = frozenset[str]()
    if not isinstance(backend, _BatchHolder):
        promised = BatchLedger(place=store.place).promised(key)
    asker = Asker(backend, key, store, meter, promised)
    run = make_sandbox(allowed=plan.spec.run_unsafe_code)
    jobs, turn = schedule.jobs(), asyncio.Lock()

    async def work() -> None:
        while True:
            async with turn:  # an asynchronous generator serves one at a time
                job = await anext(jobs, None)
            if job is None:
                return
            row, turns = await _run_attempt(job, asker, run, plan.spec, weighs=weighs)
            store.put_attempt(run_id, job[0], row, [turn.keys for turn in turns])
            schedule.done(row)
            emit(_attempt_event(row, cached=False))

    n_workers = min(info.max_concurrency or _MAX_WAITING, schedule.n_left)
    watch = asyncio.create_task(_report_waits(backend, emit))
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(n_workers):
                group.create_task(work())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None  # the first to fail; the others were cancelled
    finally:
        watch.cancel()
    if asker.not_weighed is not None:
        emit(Said(text=f"options of some attempts were not weighed: {asker.not_weighed}"))
    rows = store.attempts(run_id)
    n_failed = sum(row.outcome == "failed" for row in rows)
    is_complete = schedule.ended_by == "decided" or not schedule.n_left
    store.end_run(run_id, "complete" if is_complete and not n_failed else "incomplete")
    emit(
        RunEnded(
            run_id=run_id,
            n_done=len(rows) - n_failed,
            n_failed=n_failed,
            n_generated=asker.n_generated,
            n_tokens=meter.tokens,
            usd=meter.usd,
            seconds=meter.seconds,
        )
    )
    return ExecutionResult(rows=tuple(rows), ended_by=schedule.ended_by)


async def _begin(
    plan: Plan, info: BackendInfo, store: Store, emit: Callable[[Event], None]
) -> list[AttemptRow]:
    """Record that a run begins; return its attempts so far, read by the scorer as it is now."""
    run_id, key = plan.run_id(info), backend_key(info)
    content = plan.content(info) if plan.stored_id is None else store.run_content(run_id)
    store.put_backend(key, info)
    store.start_run(run_id, plan.spec.to_json(), key, canonical_json(content))
    if n_reread := await reread(plan, info, store, resumes=True):
        emit(Said(text=f"{n_reread} stored answers were read again: the scorer is a newer one"))
    return [row for row in store.attempts(run_id) if not is_outdated(row)]


def is_outdated(row: AttemptRow) -> bool:
    """Return whether the scores of a row are of another version of the scorer."""
    return row.outcome != "failed" and row.scorer_version not in {"", score.SCORER_VERSION}


async def reread(plan: Plan, info: BackendInfo, store: Store, *, resumes: bool = False) -> int:
    """Score anew what an earlier scorer scored, from stored completions; nothing is asked.

    That fails for an attempt that would now ask something else (an oracle's, if the verdict on a
    draft changed). Then nothing is written, so that a run does not mix two scorers, unless
    ``resumes``: what is left is then made by the run. Only then is code run again, if allowed.

    Returns:
        How many attempts were scored anew.
    """
    run_id = plan.run_id(info)
    if not store.n_outdated(run_id, score.SCORER_VERSION):
        return 0
    outdated = {(row.arm, row.problem_id) for row in store.attempts(run_id) if is_outdated(row)}
    asker, run = (
        StoredAsker(backend_key(info), store),
        make_sandbox(allowed=resumes and plan.spec.run_unsafe_code),
    )
    weighs = "loglikelihood" in info.capabilities
    scored: list[tuple[int, AttemptRow, list[Turn]]] = []
    jobs = ((arm, problem) for problem in plan.problems for arm in plan.arms)
    for position, (arm, problem) in enumerate(jobs):
        if (arm.name, problem.question.id) not in outdated:
            continue
        try:
            job = (position, arm, problem)
            row, turns = await _run_attempt(job, asker, run, plan.spec, weighs=weighs)
        except CotkitError:
            continue
        scored.append((position, row, turns))
    if len(scored) < len(outdated) and not resumes:
        return 0
    for position, row, turns in scored:
        store.put_attempt(run_id, position, row, [turn.keys for turn in turns])
    return len(scored)


async def _report_waits(backend: Backend, emit: Callable[[Event], None]) -> None:
    """Say what a backend is waiting for, as long as it has something to say."""
    if not isinstance(backend, WaitingBackend):
        return
    said = ""
    while True:
        await asyncio.sleep(_WATCH_S)
        text = backend.status() or ""
        if text or said:
            emit(Waits(text=text))
        said = text


def _attempt_event(row: AttemptRow, *, cached: bool) -> AttemptDone:
    return AttemptDone(
        arm=row.arm,
        problem_id=row.problem_id,
        outcome=row.outcome,
        cached=cached,
        n_prompt_tokens=row.n_prompt_tokens,
        n_generated_tokens=row.n_generated_tokens,
        seconds=row.seconds,
        error=row.error,
    )


async def _run_attempt(
    job: Job, asker: Asker | StoredAsker, run: Run, spec: RunSpec, *, weighs: bool
) -> tuple[AttemptRow, list[Turn]]:
    _, arm, problem = job
    requests: list[Request] = []

    async def ask(request: Request) -> Turn:
        requests.append(request)
        return await asker.ask(request)

    row = AttemptRow(
        arm=arm.name,
        problem_id=problem.question.id,
        outcome="failed",
        gold=problem.gold,
        n_steps=problem.n_steps,
        cluster=problem.cluster,
    )
    try:
        flow = start_flow(arm.strategy, problem.question, make_oracle(problem, spec.reader))
        attempt, turns = await drive(flow, ask, run)
        options = options_to_weigh(problem, likelihood=spec.likelihood) if weighs else ()
        said = turns[-1].completions[0]
        asked = make_likelihood_request(
            attempt, requests[-1], said, options, reasons=arm.strategy.reasons
        )
        scored = await asker.weigh(asked) if asked is not None else ()
    except BackendError as failure:
        if not failure.retryable:
            raise
        return replace(row, error=str(failure)), []
    row = _score_row(row, attempt, problem, turns, spec.reader)
    chain = chain_text(attempt, requests[-1]) if _writes_chain(arm) else None
    found = _measure_row(row, attempt, problem, reader=spec.reader, scored=scored, chain=chain)
    return replace(row, metrics=found), turns


def _writes_chain(arm: Arm) -> bool:
    return arm.strategy.reasons and not getattr(arm.strategy, "runs_code", False)


def _measure_row(
    row: AttemptRow,
    attempt: Attempt,
    problem: Problem,
    *,
    reader: str,
    scored: tuple[Completion, ...],
    chain: str | None,
) -> dict[str, float]:
    return measure_attempt(
        attempt,
        problem,
        row.readings[reader],
        tuple(one.logprob for one in scored if one.logprob is not None),
        n_tokens=tuple(one.n_generated_tokens for one in scored),
        chain=chain,
        samples_right=[draft.correct_by[reader] for draft in row.drafts] if row.is_vote else (),
    )


def _score_draft(draft: Attempt, problem: Problem, reader: str) -> DraftRow:
    scores = score_attempt(draft, problem, reader)
    return DraftRow(
        text=draft.text,
        outcome=scores.outcome,
        readings=scores.readings,
        correct_by=scores.correct_by,
    )


def _score_row(
    row: AttemptRow, attempt: Attempt, problem: Problem, turns: list[Turn], reader: str
) -> AttemptRow:
    scores = score_attempt(attempt, problem, reader)
    used = [completion for turn in turns for completion in turn.completions]
    return replace(
        row,
        outcome=scores.outcome,
        text=attempt.text,
        readings=scores.readings,
        correct_by=scores.correct_by,
        scorer_version=score.SCORER_VERSION,
        truncated=any(completion.stop_reason == "length" for completion in used),
        n_calls=len(used),
        n_prompt_tokens=_sum_or_none([completion.n_prompt_tokens for completion in used]),
        n_shared_tokens=sum(completion.n_shared_tokens for completion in used),
        n_cache_write_tokens=sum(completion.n_cache_write_tokens for completion in used),
        n_generated_tokens=_sum_or_none([completion.n_generated_tokens for completion in used]),
        n_reasoning_tokens=_sum_or_none([completion.n_reasoning_tokens for completion in used]),
        reasoned_apart=any(completion.reasoning for completion in used),
        served_by=", ".join(sorted({one.served_by for one in used if one.served_by})),
        seconds=sum(completion.seconds for completion in used),
        error=attempt.note,
        drafts=tuple(_score_draft(draft, problem, reader) for draft in attempt.drafts),
        is_vote=attempt.is_vote,
    )


def _sum_or_none(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


# Which attempt is next: problem by problem, all arms of one before any of the next.
#
# Problems are taken in the order in which they were drawn, which is random: whatever ends a run
# early leaves every arm with the same random subset.


Job: TypeAlias = tuple[int, Arm, Problem]
"""Position in the plan, arm, problem."""

StopRule: TypeAlias = Callable[[Mapping[str, AttemptRow]], bool]
"""Told each problem's attempts (arm -> row), in the order drawn; True: no more are needed."""

_MOST_OPEN = 32  # a full batch of a local model
EndedBy: TypeAlias = Literal["budget", "decided"]


class JobQueue:
    """The jobs of a run that are still to be done, and whether to go on handing them out."""

    def __init__(
        self,
        plan: Plan,
        begun: Sequence[AttemptRow],
        *,
        meter: Meter | None = None,
        enough: StopRule | None = None,
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
