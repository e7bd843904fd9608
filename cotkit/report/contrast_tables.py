"""What is said of two models of a size, or of two ladders, arranged in sections."""

from __future__ import annotations

from collections.abc import Sequence

from cotkit.analysis.scale.contrasts import Contrast, ModelContrasts
from cotkit.report.document import Document, Field, Strip, Table, make_table, say_number
from cotkit.report.scale_tables import SIZES
from cotkit.report.verdicts import verdict_cell

SCHEMA = "cotkit.contrasts/1"
"""Changes when a key is renamed, removed or changes meaning; a new key leaves it alone."""


def contrast_documents(answers: Sequence[ModelContrasts]) -> tuple[Document, ...]:
    """Return a document for each benchmark; of several, one more before them has all answers."""
    documents = tuple(map(_contrast_document, answers))
    if len(documents) == 1:
        return documents
    overview = Document(
        headline=tuple(
            f"{answer.bench}: {sentence}" for answer in answers for sentence in answer.sentences
        ),
        caption=(f"{len(answers)} benchmarks",),
        facts=(),
        tables=(),
        notes=(),
    )
    return overview, *documents


def _contrast_document(answer: ModelContrasts) -> Document:
    first, second = answer.names
    axis = () if answer.axis is None else (f"size in {SIZES[answer.axis][0]}",)
    return Document(
        headline=answer.sentences,
        caption=(
            f"{first} against {second}",
            answer.bench,
            f"{say_number(answer.n_problems, 'count')} problems",
            *axis,
            f"margin {say_number(answer.margin, 'share')} points",
        ),
        facts=(
            ("bench", answer.bench),
            ("first", first),
            ("second", second),
            ("axis", answer.axis),
            ("margin", answer.margin),
            ("level", answer.level),
            ("n_problems", answer.n_problems),
        ),
        tables=(
            _contrasts_table(answer, answer.of_gains(), is_gain=True),
            _contrasts_table(
                answer, [each for each in answer.contrasts if each.control is None], is_gain=False
            ),
            make_table(
                "runs",
                "Runs",
                (
                    (Field("model", "model", model), Field("run_id", "run", run))
                    for model, run in answer.runs.items()
                ),
            ),
        ),
        notes=answer.notes,
    )


def _contrasts_table(
    answer: ModelContrasts, contrasts: Sequence[Contrast], *, is_gain: bool
) -> Table:
    form = "points" if is_gain else "share"
    return make_table(
        "gain_differences" if is_gain else "rate_differences",
        "Gains of the two, and their difference" if is_gain else "Solve rates of the two",
        (
            (
                Field("arm", "arm", each.arm),
                Field("control", "over", each.control or "", when=is_gain),
                Field(
                    "size",
                    "" if answer.axis is None else SIZES[answer.axis][0],
                    _axis_value(each, answer),
                    "count" if answer.axis is None else SIZES[answer.axis][1],
                    when=answer.axis is not None,
                ),
                Field("difference", "difference, points", each.difference, "points"),
                Field("interval", "{level} interval", each.interval, "points"),
                Field("label", "first against second", verdict_cell(each.label)),
                Field("first", "first" if is_gain else "first %", each.value, form, opens=True),
                Field("first_interval", "its interval", each.value_interval, form),
                Field("second", "second" if is_gain else "second %", each.reference, form),
                Field("second_interval", "its interval", each.reference_interval, form),
                Field("n", "n", each.n),
                Field("p_value", "p", each.p_value, "p"),
                Field("method", "method", each.method),
                Field("model", "first", each.pair.model.model, opens=True),
                Field("reference", "second", each.pair.reference.model),
            )
            for arm in dict.fromkeys(each.arm for each in contrasts)
            for each in contrasts
            if each.arm == arm
        ),
        note="Difference: the first less the second, problem by problem; its intervals hold "
        "together, those of one model each for itself"
        + ("; gains: arm less control" if is_gain else ""),
        strip=Strip(estimate="difference", interval="interval", axis=None, margin=answer.margin),
    )


def _axis_value(contrast: Contrast, answer: ModelContrasts) -> float | None:
    x = contrast.pair.x
    return -x if answer.axis == "loss" and x is not None else x
