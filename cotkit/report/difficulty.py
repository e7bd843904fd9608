"""The table of gains by difficulty: how much an arm gains where a problem takes more steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cotkit.analysis.difficulty import MIN_PROBLEMS, said_steps
from cotkit.analysis.results import Difficulty, Label, StepGroup
from cotkit.report.document import Column, Number, Span, Strip, Table, Tone, Value, Words
from cotkit.report.words import say_level


def difficulty_tables(
    found: Sequence[Difficulty],
    labels: Mapping[Label, tuple[str, Tone]],
    margin: float,
) -> tuple[Table, ...]:
    """One table; none if the problems fall into fewer than two groups.

    ``labels``: the words and tone of each.
    """
    if not found:
        return ()
    # A control is named only where an arm has two, as in the table of gains.
    says_control = len({one.arm for one in found}) < len(found)
    level = say_level(found[0].groups[0].gain.interval.level)
    table = Table(
        key="difficulty",
        title="Gain by number of steps",
        note=f"{'; '.join(one.sentence for one in found)}. Numbers of steps with fewer than"
        f" {MIN_PROBLEMS} problems are merged with the next; these intervals hold together, but"
        " not with those of the gains above; steps: what a problem takes by its worked solution",
        columns=(
            Column(key="arm", header="arm"),
            *((Column(key="control", header="control"),) if says_control else ()),
            Column(key="steps", header="steps"),
            Column(key="gain", header="gain points"),
            Column(key="interval", header=f"{level} interval"),
            Column(key="label", header="verdict"),
            Column(key="control_solve_rate", header="control solves %", opens=True),
            Column(key="solve_rate", header="arm solves %"),
            Column(key="n", header="n"),
            Column(key="n_better", header="better"),
            Column(key="n_worse", header="worse"),
        ),
        rows=tuple(
            _row(one, group, labels, says_control=says_control)
            for one in found
            for group in one.groups
        ),
        strip=Strip(estimate="gain", interval="interval", axis=None, margin=margin),
    )
    return (table,)


def _row(
    of: Difficulty,
    group: StepGroup,
    labels: Mapping[Label, tuple[str, Tone]],
    *,
    says_control: bool,
) -> tuple[Value, ...]:
    gain, steps = group.gain, said_steps(group)
    verdict, tone = labels[gain.label]
    return (
        Words(text=of.arm, raw=of.arm),
        *((Words(text=of.control, raw=of.control),) if says_control else ()),
        Words(text=steps, raw=steps),
        Number(value=gain.gain, form="points"),
        Span(interval=gain.interval, form="points"),
        Words(text=verdict, raw=gain.label, tone=tone),
        Number(value=group.n_control_correct / gain.n if gain.n else None, form="share"),
        Number(value=group.n_correct / gain.n if gain.n else None, form="share"),
        Number(value=gain.n, form="count"),
        Number(value=gain.n_better, form="count"),
        Number(value=gain.n_worse, form="count"),
    )
