"""Execute a plan: drive every missing attempt, commit every completion as it arrives."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from cotkit.benchmarks import draw_order
from cotkit.errors import BackendError, CotkitError, StoreError, UsageError
from cotkit.events import AttemptDone, Event, RunEnded, RunStarted, Said, Waits
from cotkit.identity import backend_key, canonical_json
from cotkit.protocols import Backend, WaitingBackend
from cotkit.run.asker import Asker, StoredAsker
from cotkit.run.budget import Meter
from cotkit.run.driver import Run, Turn, drive, make_oracle, start_flow
from cotkit.run.judge import Judge, JudgeUsage
from cotkit.run.likelihood import chain_text, make_likelihood_request, select_options
from cotkit.run.plan import Arm, Plan
from cotkit.run.sandbox import find_wall, make_sandbox
from cotkit.run.served import ServerRecord, explain_empty, read_server, settle_server
from cotkit.run.spec import RunSpec
from cotkit.run.thinking import FirstAnswers, check_thinking
from cotkit.scoring import score, score_attempt
from cotkit.scoring.measure import measure_attempt
from cotkit.store import PERMANENT, AttemptRow, BatchLedger, DraftRow, Store
from cotkit.types import Attempt, BackendInfo, Completion, Problem, Request

_MAX_FLOWS = 4096  # open at once for a backend that sets no limit: bounds memory
_REFUSED_WAIT_S = 0.02
_WATCH_S = 1.0  # between two looks at what a backend is waiting for


@runtime_checkable
class _BatchHolder(Protocol):
    """A backend that collects the batches of a provider."""

    ledger: object


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionResult:
    """The attempts of a run after a call."""

    rows: tuple[AttemptRow, ...]
    """All its attempts so far, in plan order."""
    ended_by: EndedBy | None
    """Why it ended before all its problems were done; None: it did not."""
    server: ServerRecord | None = None
    """What its answers tell of how a server behaved; None: there is none."""
    judge: JudgeUsage | None = None
    """What its judge was asked; None: the model judges itself, or nobody judges."""


async def execute_plan(
    plan: Plan,
    backend: Backend,
    store: Store,
    emit: Callable[[Event], None],
    *,
    meter: Meter,
    judge: Judge | None = None,
    is_enough: StopRule | None = None,
    retry_failed: bool = False,
) -> ExecutionResult:
    """Complete a run; what the store holds is not asked again.

    ``meter`` and that of the judge end it when a budget is used up, ``is_enough`` when it is
    decided; all between problems, so that every arm has the same ones.

    A transient backend error makes its attempt ``failed`` (tried again on resume); so does a prompt
    that a server refuses for good (tried again with ``retry_failed`` only), unless all the first
    are refused. Any other error ends the run. Cancelling keeps every completion that had arrived.
    """
    info = backend.info
    scores_options = "loglikelihood" in info.capabilities
    if plan.spec.likelihood and not scores_options:
        raise UsageError(
            f"{info.model} cannot score given answers (log-likelihood)",
            hint="leave out --likelihood, or take a local model",
        )
    check_thinking(plan, backend)
    run_id, key = plan.run_id(info), backend_key(info)
    begun = await _begin(plan, info, store, emit)
    if retry_failed and any(row.is_permanent for row in begun):
        begun = [row for row in begun if not row.is_permanent]
        if (record := read_server(store, run_id, info)) is not None:
            store.forget_completions(record.cut)
    completed = [row for row in begun if is_settled(row)]
    queue = JobQueue(
        plan,
        begun,
        meter=meter,
        judge_meter=judge and judge.meter,
        is_enough=is_enough,
        most_open=info.max_concurrency,
    )
    emit(
        RunStarted(
            run_id=run_id,
            model=info.model,
            bench=plan.spec.bench,
            n_attempts=len(plan.arms) * len(plan.problems),
            n_cached=len(completed),
            arms=tuple(arm.name for arm in plan.arms),
        )
    )
    first_answers = FirstAnswers(plan.arms, completed if queue.n_left else ())
    for row in completed:
        emit(_attempt_event(row, cached=True))
    promised = frozenset[str]()
    if not isinstance(backend, _BatchHolder):
        promised = BatchLedger(place=store.place).promised(key)
    jobs, jobs_lock = queue.jobs(), asyncio.Lock()

    async def work() -> bool:
        await attempts.check()
        async with jobs_lock:  # an asynchronous generator serves one task at a time
            job = await anext(jobs, None)
        if job is None:
            return False
        row = await attempts.make(job)
        queue.finish(row)
        emit(_attempt_event(row, cached=False))
        first_answers.add(row)
        return True

    workers = _Workers(work, min(info.max_concurrency or _MAX_FLOWS, queue.n_left))
    asker = Asker(backend, key, store, meter, promised=promised, waiting=workers.waiting)
    askers = [(backend, asker)]
    if judge is not None:
        asker.judge = _make_judge_asker(judge, store, workers)
        askers.append((judge.backend, asker.judge))
    attempts = _AttemptMaker(
        run_id=run_id,
        spec=plan.spec,
        store=store,
        asker=asker,
        run=make_sandbox(allowed=plan.spec.run_unsafe_code, kind=plan.spec.sandbox),
        scores_options=scores_options,
    )
    await _run_watched(workers, askers, emit)
    attempts.settle(was_answered=any(row.outcome != "failed" for row in completed))
    await _settle_answers(plan, info, store, asker, emit)
    record = settle_server(store, run_id, info)
    rows = store.attempts(run_id)
    n_failed = sum(row.outcome == "failed" for row in rows)
    is_complete = queue.ended_by == "decided" or not queue.n_left
    is_complete = is_complete and all(map(is_settled, rows))
    store.end_run(run_id, "complete" if is_complete else "incomplete")
    emit(
        RunEnded(
            run_id=run_id,
            n_done=len(rows) - n_failed,
            n_failed=n_failed,
            n_generated=sum(each.n_generated for _, each in askers),
            n_tokens=meter.tokens,
            usd=meter.usd,
            seconds=meter.seconds,
        )
    )
    return ExecutionResult(rows=tuple(rows), ended_by=queue.ended_by, server=record)


def _make_judge_asker(judge: Judge, store: Store, workers: _Workers) -> Asker:
    store.put_backend(judge.key, judge.backend.info)
    return Asker(
        judge.backend,
        judge.key,
        store,
        judge.meter,
        promised=frozenset(),
        waiting=workers.waiting,
    )


async def _settle_answers(
    plan: Plan, info: BackendInfo, store: Store, asker: Asker, emit: Callable[[Event], None]
) -> None:
    """Score anew what turned out to be reasoning, and say what could not be scored at all."""
    if asker.amended:
        store.outdate_attempts(plan.run_id(info), asker.amended)
        await reread(plan, info, store, resumes=True)
    if asker.why_unscored is not None:
        emit(Said(text=f"options of some attempts were not scored: {asker.why_unscored}"))


def is_settled(row: AttemptRow) -> bool:
    """Return whether an attempt is not made again: it has an outcome, or is refused for good."""
    return row.outcome != "failed" or row.is_permanent


_MOST_REFUSED = 3  # first attempts, of which none was answered: then all would be


@dataclass(slots=True, kw_only=True)
class _AttemptMaker:
    """Makes and stores the attempts of a run.

    Those whose prompts a server refuses for good are stored once any attempt was answered: what
    every prompt meets is no prompt's fault, and ends the run.
    """

    run_id: str
    spec: RunSpec
    store: Store
    asker: Asker
    run: Run
    scores_options: bool
    _refused: list[tuple[int, AttemptRow, BackendError]] = field(
        default_factory=list[tuple[int, AttemptRow, BackendError]]
    )
    _n_running: int = 0

    async def make(self, job: Job) -> AttemptRow:
        """Make an attempt and store it; one that is refused for good comes back as failed."""
        self._n_running += 1
        try:
            row, turns = await _run_attempt(
                job, self.asker, self.run, self.spec, scores_options=self.scores_options
            )
        except BackendError as failure:
            if not failure.is_permanent:
                raise
            row = replace(_make_failed_row(job), error=f"{PERMANENT}{failure}")
            self._refused.append((job[0], row, failure))
            if self.asker.n_generated:
                self.settle(was_answered=True)
        else:
            self.store.put_attempt(self.run_id, job[0], row, [turn.keys for turn in turns])
        finally:
            self._n_running -= 1
        return row

    async def check(self) -> None:
        """Begin no new attempt while the first are refused and none is answered.

        Raises:
            BackendError: all that were begun are refused.
        """
        while len(self._refused) >= _MOST_REFUSED and not self.asker.n_generated:
            if not self._n_running:
                raise self._refused[0][2]
            await asyncio.sleep(_REFUSED_WAIT_S)

    def settle(self, *, was_answered: bool) -> None:
        """Store what was refused.

        Raises:
            BackendError: the server never answered anything.
        """
        if self._refused and not (was_answered or self.asker.n_generated):
            raise self._refused[0][2]
        for position, row, _ in self._refused:
            self.store.put_attempt(self.run_id, position, row, [])
        self._refused.clear()


async def _begin(
    plan: Plan, info: BackendInfo, store: Store, emit: Callable[[Event], None]
) -> list[AttemptRow]:
    """Record that a run begins; return its attempts so far, scored by the present scorer.

    Raises:
        UsageError: it would have code run, and no sandbox works here: nothing was asked or stored.
    """
    run_id, key = plan.run_id(info), backend_key(info)
    if plan.runs_code and _has_work(plan, run_id, store):
        await asyncio.to_thread(find_wall, plan.spec.sandbox)
    content = plan.content(info) if plan.stored_id is None else store.run_content(run_id)
    store.put_backend(key, info)
    store.start_run(run_id, plan.spec.to_json(), key, canonical_json(content))
    if n_reread := await reread(plan, info, store, resumes=True):
        emit(Said(text=f"{n_reread} stored answers were read again: the scorer is a newer one"))
    return [row for row in store.attempts(run_id) if not is_outdated(row)]


def _has_work(plan: Plan, run_id: str, store: Store) -> bool:
    n_completed = sum(row.outcome != "failed" for row in store.attempts(run_id))
    return n_completed < len(plan.arms) * len(plan.problems)


def is_outdated(row: AttemptRow) -> bool:
    """Return whether another version of the scorer scored a row."""
    return row.outcome != "failed" and row.scorer_version not in {"", *score.current_versions()}


async def reread(plan: Plan, info: BackendInfo, store: Store, *, resumes: bool = False) -> int:
    """Score anew what an earlier scorer scored, from stored completions; nothing is asked.

    That fails for an attempt that would now ask something else (an oracle's, if the verdict on a
    draft changed). Then nothing is stored, so that a run does not mix two scorers, unless
    ``resumes``: the run then makes what is missing. Only then is code run again, if allowed.

    Returns:
        How many attempts were scored anew.
    """
    run_id = plan.run_id(info)
    if not store.n_outdated(run_id, score.current_versions()):
        return 0
    outdated = {(row.arm, row.problem_id) for row in store.attempts(run_id) if is_outdated(row)}
    asker = StoredAsker(backend_key(info), store, plan.judge)
    run = make_sandbox(allowed=resumes and plan.spec.run_unsafe_code, kind=plan.spec.sandbox)
    scores_options = "loglikelihood" in info.capabilities
    scored: list[tuple[int, AttemptRow, list[Turn]]] = []
    jobs = ((arm, problem) for problem in plan.problems for arm in plan.arms)
    for position, (arm, problem) in enumerate(jobs):
        if (arm.name, problem.question.id) not in outdated:
            continue
        try:
            job = (position, arm, problem)
            row, turns = await _run_attempt(
                job, asker, run, plan.spec, scores_options=scores_options
            )
        except CotkitError:
            continue
        scored.append((position, row, turns))
    if len(scored) < len(outdated) and not resumes:
        return 0
    try:
        for position, row, turns in scored:
            store.put_attempt(run_id, position, row, [turn.keys for turn in turns])
    except StoreError:  # a store that can only be read keeps its scores
        if resumes:
            raise
        return 0
    return len(scored)


class _Workers:
    """Tasks that work side by side, with another in place of each that waits for a process."""

    def __init__(self, work: Callable[[], Awaitable[bool]], n: int) -> None:
        """``work``: one piece of it; False: there was none. ``n``: how many tasks work at once."""
        self._work, self._n, self._n_busy = work, n, 0
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Work until there is no more; the first error ends all."""
        try:
            async with self._group:
                for _ in range(self._n):
                    self._add()
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None  # the other tasks were cancelled

    @contextlib.contextmanager
    def waiting(self) -> Generator[None]:
        """Let another task work while this one waits."""
        self._n_busy -= 1
        if len(self._tasks) < _MAX_FLOWS:
            self._add()
        try:
            yield
        finally:
            self._n_busy += 1

    def _add(self) -> None:
        task = self._group.create_task(self._loop())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _loop(self) -> None:
        self._n_busy += 1
        try:
            while self._n_busy <= self._n and await self._work():
                pass
        finally:
            self._n_busy -= 1


async def _run_watched(
    workers: _Workers, askers: Sequence[tuple[Backend, Asker]], emit: Callable[[Event], None]
) -> None:
    """Run the workers; meanwhile keep the claims of those who ask, and say what they wait for."""
    helpers = [
        asyncio.create_task(helper)
        for backend, asker in askers
        for helper in (_report_waits(backend, asker, emit), asker.keep_claims())
    ]
    try:
        await workers.run()
    finally:
        for helper in helpers:
            helper.cancel()


async def _report_waits(backend: Backend, asker: Asker, emit: Callable[[Event], None]) -> None:
    """Report what a run is waiting for, and when it waits for nothing more."""
    last_text = ""
    while True:
        await asyncio.sleep(_WATCH_S)
        own = backend.status() if isinstance(backend, WaitingBackend) else None
        text = "; ".join(filter(None, (own, asker.status())))
        if text or last_text:
            emit(Waits(text=text))
        last_text = text


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
    job: Job, asker: Asker | StoredAsker, run: Run, spec: RunSpec, *, scores_options: bool
) -> tuple[AttemptRow, list[Turn]]:
    _, arm, problem = job
    last: list[tuple[Request, Completion]] = []  # of the model: a judge writes no answer

    async def ask(request: Request) -> Turn:
        turn = await asker.ask(request)
        if request.role == "model":
            last[:] = [(request, turn.completions[0])]
        return turn

    row = _make_failed_row(job)
    try:
        flow = start_flow(
            arm.strategy_for(problem.question),
            problem.question,
            make_oracle(problem, spec.reader),
            arm.system,
        )
        attempt, turns = await drive(flow, ask, run)
        options = select_options(problem, likelihood=spec.likelihood) if scores_options else ()
        if not last:
            raise UsageError(f"strategy {arm.name} asked its judge alone")
        ((request, completion),) = last
        likelihood_request = make_likelihood_request(
            attempt, request, completion, options, reasons=arm.strategy.reasons
        )
        scored = (
            await asker.score_options(likelihood_request) if likelihood_request is not None else ()
        )
    except BackendError as failure:
        if not failure.retryable:
            raise
        return replace(row, error=str(failure)), []
    row = _score_row(row, attempt, problem, turns, spec.reader)
    chain = chain_text(attempt, request) if _writes_chain(arm) else None
    metrics = _measure_row(row, attempt, problem, reader=spec.reader, scored=scored, chain=chain)
    return replace(row, metrics=metrics), turns


def _make_failed_row(job: Job) -> AttemptRow:
    _, arm, problem = job
    return AttemptRow(
        arm=arm.name,
        problem_id=problem.question.id,
        outcome="failed",
        gold=problem.gold,
        n_steps=problem.n_steps,
        cluster=problem.cluster,
    )


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
        tuple(option.logprob for option in scored if option.logprob is not None),
        n_tokens=tuple(option.n_generated_tokens for option in scored),
        chain=chain,
        samples_right=[draft.correct_by[reader] for draft in row.drafts] if row.is_vote else (),
    )


def score_draft(draft: Attempt, problem: Problem, reader: str) -> DraftRow:
    """Score an earlier round, or a sample of a vote, as if it were the attempt."""
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
    completions = [
        completion for turn in turns if not turn.is_judged for completion in turn.completions
    ]
    return replace(
        row,
        outcome=scores.outcome,
        text=attempt.text,
        readings=scores.readings,
        correct_by=scores.correct_by,
        scorer_version=score.scorer_version(problem.question.answer_kind),
        truncated=any(completion.stop_reason == "length" for completion in completions),
        n_calls=len(completions),
        n_prompt_tokens=_sum_or_none([completion.n_prompt_tokens for completion in completions]),
        n_shared_tokens=sum(completion.n_shared_tokens for completion in completions),
        n_cache_write_tokens=sum(completion.n_cache_write_tokens for completion in completions),
        n_generated_tokens=_sum_or_none(
            [completion.n_generated_tokens for completion in completions]
        ),
        n_reasoning_tokens=_sum_or_none(
            [completion.n_reasoning_tokens for completion in completions]
        ),
        reasoned_apart=any(completion.reasoning for completion in completions),
        served_by=", ".join(
            sorted({completion.served_by for completion in completions if completion.served_by})
        ),
        seconds=sum(completion.seconds for completion in completions),
        error=attempt.note or next(filter(None, map(explain_empty, completions)), None),
        drafts=tuple(score_draft(draft, problem, reader) for draft in attempt.drafts),
        is_vote=attempt.is_vote,
    )


def _sum_or_none(counts: list[int | None]) -> int | None:
    numbers = [count for count in counts if count is not None]
    return sum(numbers) if len(numbers) == len(counts) else None


# Which attempt is next: problem by problem, all arms of one before any of the next. Problems come
# in the order in which they were drawn, which is random: a run that ends early leaves every arm
# with the same random subset.

Job: TypeAlias = tuple[int, Arm, Problem]
"""Position in the plan, arm, problem."""

StopRule: TypeAlias = Callable[[Mapping[str, AttemptRow]], bool]
"""Takes the attempts of the next problem (arm -> row), in the order drawn; True: enough."""

_MOST_OPEN = 32  # a full batch of a local model
EndedBy: TypeAlias = Literal["budget", "decided"]


class JobQueue:
    """The jobs of a run that are still to be done, and whether to hand out more of them."""

    def __init__(
        self,
        plan: Plan,
        begun: Sequence[AttemptRow],
        *,
        meter: Meter | None = None,
        judge_meter: Meter | None = None,
        is_enough: StopRule | None = None,
        most_open: int | None = None,
    ) -> None:
        """Queue the jobs of a plan that are not done.

        ``begun``: the attempts of earlier calls; only the failed ones are handed out again.
        ``most_open``: problems running at once (None: 32) where a limit of time or a stop rule may
        end the run; else all problems run at once.
        """
        self._plan, self._is_enough = plan, is_enough
        self._meters = [each for each in (meter, judge_meter) if each is not None]
        may_end = is_enough is not None or any(each.is_timed for each in self._meters)
        self._most_open = (most_open or _MOST_OPEN) if may_end else len(plan.problems)
        self._order = draw_order(plan.problems, plan.spec.seed)
        self._position = {p.question.id: i for i, p in enumerate(plan.problems)}
        completed = [row for row in begun if is_settled(row)]
        self._done = {(row.arm, row.problem_id) for row in completed}
        self._begun = {row.problem_id for row in begun}
        self._unjudged: dict[str, dict[str, AttemptRow]] = {}
        self._n_judged = 0
        self._open: dict[str, int] = {}
        self._failed: set[str] = set()
        self._closed = asyncio.Event()
        self.ended_by: EndedBy | None = None
        """Why the run ended before all its problems were done; None: it did not."""
        for row in completed:
            self._judge(row)

    @property
    def n_left(self) -> int:
        """Return the number of attempts that are not done."""
        return len(self._plan.arms) * len(self._plan.problems) - len(self._done)

    async def jobs(self) -> AsyncIterator[Job]:
        """Yield every job left until there is a reason to stop."""
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

    def finish(self, row: AttemptRow) -> None:
        """Note that an attempt is in the store."""
        self._done.add((row.arm, row.problem_id))
        if row.outcome == "failed":
            self._failed.add(row.problem_id)
        self._open[row.problem_id] -= 1
        if not self._open[row.problem_id]:
            del self._open[row.problem_id]
            self._closed.set()
            if row.problem_id not in self._failed:  # it does not show what a problem takes
                for meter in self._meters:
                    meter.count_problem()
        self._judge(row)

    async def _is_over(self, *, is_new: bool) -> bool:
        """Wait while the running problems may end the run; return whether they have.

        Problems of earlier calls are finished before any new problem: they may decide the run.
        """
        while True:
            n_open = len(self._open)
            is_spent = any(meter.explain_stop(n_open) is not None for meter in self._meters)
            if is_spent and not self._open:
                self.ended_by = self.ended_by or "budget"
            if self.ended_by is not None:
                return True
            is_finishing = is_new and self._is_enough and not self._begun.isdisjoint(self._open)
            if not is_spent and not is_finishing and len(self._open) < self._most_open:
                return False
            self._closed.clear()
            await self._closed.wait()

    def _judge(self, row: AttemptRow) -> None:
        """Give complete problems to the stop rule, in the order drawn and not of arrival."""
        if self._is_enough is None:
            return
        self._unjudged.setdefault(row.problem_id, {})[row.arm] = row
        while self._n_judged < len(self._order):
            name = self._order[self._n_judged].question.id
            if len(self._unjudged.get(name, ())) < len(self._plan.arms):
                return
            self._n_judged += 1
            if self._is_enough(self._unjudged.pop(name)):
                self.ended_by = self.ended_by or "decided"
