"""What completions made elsewhere come to: the comparison that a run of them would have been."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from cotkit.analysis.bias_rows import bias, bias_changes
from cotkit.analysis.chains import chain_steps
from cotkit.analysis.comparison import RunFacts
from cotkit.analysis.comparison import compare as compare_rows
from cotkit.analysis.repeats import rate_interval, repeated_cell
from cotkit.analysis.results import Cell, Comparison, Repeats
from cotkit.analysis.votes import Ballot, windows_won
from cotkit.errors import BadInputError, UnknownNameError
from cotkit.identity import content_hash
from cotkit.protocols import Benchmark
from cotkit.running import LEVEL, measure_all
from cotkit.scored.made import Made
from cotkit.scored.tally import Arm, Ask, Tally, missed
from cotkit.scoring import SCORER_VERSION
from cotkit.scoring.metrics import pass_at_k
from cotkit.store import AttemptRow


def score_completions(
    completions: Iterable[Made],
    bench: Benchmark,
    ask: Ask,
    *,
    source: str,
    on_row: Callable[[AttemptRow], None] = lambda _: None,
) -> Comparison:
    """Read every completion, compare it with the gold answer, and say what all of them come to.

    Args:
        completions: In any order; taken one at a time.
        bench: Has their problems.
        ask: What is asked of them.
        source: What to call them: the file's name.
        on_row: Given every scored completion, text included.

    Returns:
        As of a run: solve rates, outcomes and, with a baseline, paired gains. Where an arm has
        several samples of a problem, its solve rate is the mean over problems.

    Raises:
        BadInputError: no completions, a problem that the benchmark does not have, a sample given
            twice, several samples of a problem where arms are to be paired.
        UnknownNameError: no such reader or baseline.
    """
    tally = Tally(bench, ask)
    for made in completions:
        on_row(tally.add(made))
    if not tally.n:
        raise BadInputError(source, "no completions in it", hint='{"id": "...", "text": "..."}')
    rows = [row for name in tally.arms for row in _rows(name, tally, ask)]
    pairs = _pairs(tally, ask.baseline)
    found = compare_rows(
        rows,
        pairs,
        _facts(tally, bench, ask, source),
        reader=ask.reader,
        margin=ask.margin,
        level=LEVEL,
    )
    repeated = {name: arm for name, arm in tally.arms.items() if arm.sizes[1] > 1}
    none = dict[str, str]()  # bias is counted of one reply to each item
    tags = {of: none if repeated else problem.tags for of, problem in tally.problems.items()}
    n_missing = {name: _n_missing(arm, tally, ask) for name, arm in repeated.items()}
    return replace(
        found,
        cells=tuple(
            _cell(one.arm, repeated[one.arm], n_missing[one.arm]) if one.arm in repeated else one
            for one in found.cells
        ),
        repeats=tuple(
            one for name, arm in repeated.items() for one in _repeats(name, arm, n_missing[name])
        ),
        notes=(*_notes(tally, ask), *found.notes),
        chains=chain_steps([row for row in rows if row.arm not in repeated]),
        metrics=measure_all(rows, found, pairs, list(tally.problems.values())),
        bias=bias(rows, tags, reader=ask.reader, level=LEVEL),
        bias_changes=bias_changes(rows, tags, pairs, reader=ask.reader, level=LEVEL),
    )


def _pairs(tally: Tally, baseline: str | None) -> list[tuple[str, str]]:
    if baseline is None:
        return []
    if baseline not in tally.arms:
        raise UnknownNameError("arm", baseline, tally.arms)
    return [(arm, baseline) for arm in tally.arms if arm != baseline]


def _facts(tally: Tally, bench: Benchmark, ask: Ask, source: str) -> RunFacts:
    of = [bench.name, bench.version, SCORER_VERSION, ask.reader, ask.missing, tally.digest]
    tried = {problem for arm in tally.arms.values() for problem in arm.tried}
    return RunFacts(
        run_id=content_hash("scored", of)[:12],
        model=source,
        n_params=None,
        bench=bench.name,
        bench_version=bench.version,
        n_problems=len(tally.problems if ask.missing == "wrong" else tried),
        n_total=len(tally.problems),
    )


def _rows(name: str, tally: Tally, ask: Ask) -> list[AttemptRow]:
    """One of each problem, in the benchmark's order; with ``--missing wrong`` of every one."""
    tried = tally.arms[name].tried
    return [
        tried[of].row if of in tried else missed(name, problem, ask.reader)
        for of, problem in tally.problems.items()
        if of in tried or ask.missing == "wrong"
    ]


def _n_missing(arm: Arm, tally: Tally, ask: Ask) -> int:
    """Problems that count as tried once and not solved."""
    return len(tally.problems) - len(arm.tried) if ask.missing == "wrong" else 0


def _cell(name: str, arm: Arm, n_missing: int) -> Cell:
    outcomes = arm.outcomes.copy()
    outcomes["wrong"] += n_missing
    return repeated_cell(name, [*arm.values(_share), *[0.0] * n_missing], outcomes, LEVEL)


def _repeats(name: str, arm: Arm, n_missing: int) -> list[Repeats]:
    """For k = 1, 2, 4, ... and the fewest samples that any problem has."""
    fewest, _ = arm.sizes
    n_samples = arm.outcomes.total() + n_missing
    missing = [0.0] * n_missing
    won = arm.values(lambda ballots: windows_won(ballots[:fewest]))
    found: list[Repeats] = []
    for k in [*(2**i for i in range(fewest.bit_length()) if 2**i < fewest), fewest]:
        passed = [*arm.values(lambda ballots, k=k: _pass(ballots, k)), *missing]
        voted = [*(windows[k - 1] / fewest for windows in won), *missing]
        most = n_samples / k  # so many times k samples were drawn
        found.append(
            Repeats(
                arm=name,
                k=k,
                n=len(passed),
                pass_at_k=sum(passed) / len(passed),
                pass_interval=rate_interval(passed, most, LEVEL),
                maj_at_k=sum(voted) / len(voted),
                maj_interval=rate_interval(voted, most, LEVEL),
            )
        )
    return found


def _share(ballots: list[Ballot]) -> float:
    return sum(is_correct for _, is_correct in ballots) / len(ballots)


def _pass(ballots: list[Ballot], k: int) -> float:
    return pass_at_k(len(ballots), sum(is_correct for _, is_correct in ballots), k)


def _notes(tally: Tally, ask: Ask) -> list[str]:
    said: list[str] = []
    becomes = "count as wrong" if ask.missing == "wrong" else "are left out of its solve rate"
    for name, arm in tally.arms.items():
        n, n_missing = len(tally.problems), len(tally.problems) - len(arm.tried)
        if n_missing:
            said.append(
                f"{name}: {n_missing:,} of {n:,} problems have no completion; they {becomes}"
            )
        fewest, most = arm.sizes
        if fewest < most:
            said.append(
                f"{name}: problems have {fewest} to {most} samples; each problem weighs the same, "
                f"and k goes no further than {fewest}"
            )
    if not tally.n_ended:
        said.append(
            "no stop_reason is given: refusals and answers cut at a token limit are read as others"
        )
    return said
