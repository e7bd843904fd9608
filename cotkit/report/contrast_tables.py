"""What is said of two models of a size, or of two ladders, arranged in sections."""

from __future__ import annotations

from collections.abc import Sequence

from cotkit.analysis.scale.contrasts import Contrast, ModelContrasts
from cotkit.report.document import (
    Document,
    Field,
    Screen,
    Strip,
    Table,
    make_table,
    say_number,
)
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
            _gains_table(answer),
            _rates_table(answer),
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
        screen=Screen(tables=(_answer_table(answer),)),
    )


def _answer_table(answer: ModelContrasts) -> Table:
    """Return the differences in short."""
    rates = [each for each in answer.contrasts if each.control is None]
    return make_table(
        "answer",
        "",
        (
            (
                Field("what", "what", f"gain of {each.arm}" if each.control else each.arm),
                *_size_fields(answer, each),
                Field("first", "first", each.value, "points" if each.control else "share"),
                Field("second", "second", each.reference, "points" if each.control else "share"),
                Field("difference", "difference", each.difference, "points"),
                Field("interval", "{level} interval", each.interval, "points"),
                Field("label", "first is", verdict_cell(each.label)),
            )
            for each in (*answer.of_gains(), *rates)
        ),
        strip=_strip(answer),
    )


def _size_fields(answer: ModelContrasts, contrast: Contrast) -> tuple[Field, ...]:
    if answer.axis is None:
        return ()
    name, form = SIZES[answer.axis]
    return (Field("size", name, _axis_value(contrast, answer), form),)


def _gains_table(answer: ModelContrasts) -> Table:
    return make_table(
        "gain_differences",
        "Gains of the two, and their difference",
        (contrast_fields(answer, each) for each in answer.of_gains()),
        note=f"{_NOTE}; gains: arm less control",
        strip=_strip(answer),
    )


def _rates_table(answer: ModelContrasts) -> Table:
    rates = [each for each in answer.contrasts if each.control is None]
    return make_table(
        "rate_differences",
        "Solve rates of the two",
        (
            (Field("arm", "arm", each.arm), *_difference_fields(answer, each))
            for arm in dict.fromkeys(each.arm for each in rates)
            for each in rates
            if each.arm == arm
        ),
        note=_NOTE,
        strip=_strip(answer),
    )


_NOTE = (
    "Difference: the first less the second, problem by problem; its intervals hold together, those "
    "of one model each for itself"
)


def contrast_fields(answer: ModelContrasts, each: Contrast) -> tuple[Field, ...]:
    """Return one difference as fields, its sizes and models among them."""
    return (
        Field("arm", "arm", each.arm),
        Field("control", "over", each.control or ""),
        *_difference_fields(answer, each),
    )


def _strip(answer: ModelContrasts) -> Strip:
    return Strip(estimate="difference", interval="interval", axis=None, margin=answer.margin)


def _difference_fields(answer: ModelContrasts, each: Contrast) -> tuple[Field, ...]:
    form, unit = ("points", "") if each.control else ("share", " %")
    return (
        *_size_fields(answer, each),
        Field("difference", "difference, points", each.difference, "points"),
        Field("interval", "{level} interval", each.interval, "points"),
        Field("label", "first against second", verdict_cell(each.label)),
        Field("first", f"first{unit}", each.value, form, opens=True),
        Field("first_interval", "its interval", each.value_interval, form),
        Field("second", f"second{unit}", each.reference, form),
        Field("second_interval", "its interval", each.reference_interval, form),
        Field("n", "n", each.n),
        Field("p_value", "p", each.p_value, "p"),
        Field("method", "method", each.method),
        Field("model", "first", each.pair.model.model, opens=True),
        Field("reference", "second", each.pair.reference.model),
    )


def _axis_value(contrast: Contrast, answer: ModelContrasts) -> float | None:
    x = contrast.pair.x
    return -x if answer.axis == "loss" and x is not None else x
