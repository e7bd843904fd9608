"""Draw the problems and exemplars of a run: seeded, nested, the same on every machine.

Whatever is drawn ranks by the hash of its id and the seed, so nothing depends on a random
generator's version, and a larger draw with the same seed contains the smaller one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from cotkit.errors import UsageError
from cotkit.identity import content_hash
from cotkit.types import Exemplar, Problem

LAST_DRAWN = 4
"""Times K: so many of the last problems of one split to be drawn may become K exemplars."""


def draw(problems: Sequence[Problem], limit: int | None, seed: int) -> tuple[Problem, ...]:
    """Draw a random subset of ``limit`` problems (None: all), in the benchmark's order.

    Raises:
        UsageError: the limit is below 1 or above the number of problems.
    """
    if limit is None:
        return tuple(problems)
    if limit < 1:
        raise UsageError(f"--limit {limit} draws no problems", hint="--limit 1 or more, or all")
    if limit > len(problems):
        raise UsageError(
            f"--limit {limit}, but the benchmark has {len(problems)} problems", hint="--limit all"
        )
    chosen = {problem.question.id for problem in draw_order(problems, seed)[:limit]}
    return tuple(problem for problem in problems if problem.question.id in chosen)


def draw_order(problems: Sequence[Problem], seed: int) -> list[Problem]:
    """Return all problems in the order in which :func:`draw` takes them."""
    return sorted(problems, key=lambda p: content_hash("draw", [seed, p.question.id]))


def draw_exemplars(
    pool: Sequence[Problem],
    k: int,
    seed: int,
    *,
    exclude: Iterable[Problem] = (),
    spread: bool = False,
    bare: bool = False,
) -> tuple[Exemplar, ...]:
    """Draw ``k`` worked examples, in random order; a larger draw begins with a smaller one.

    Problems without a rationale, and those whose id or question is in ``exclude``, are passed over.
    ``bare``: those without a rationale are taken, too, because none will be shown.
    ``spread``: no number of steps comes a second time before every number has come once, and so on.

    Raises:
        UsageError: k is below 1, or the pool has fewer usable problems.
    """
    if k < 1:
        raise UsageError(f"{k} exemplars asked", hint="ask for 1 or more")
    excluded = list(exclude)
    ids = {problem.question.id for problem in excluded}
    texts = {_normalise(problem.question.text) for problem in excluded}
    usable = {
        problem.question.id: exemplar
        for problem in pool
        if ((exemplar := make_exemplar(problem)).rationale or bare)
        and problem.question.id not in ids
        and _normalise(problem.question.text) not in texts
    }
    if k > len(usable):
        raise UsageError(
            f"{k} exemplars asked, {len(usable)} can be drawn"
            + ("" if bare else " (each needs a rationale)"),
            hint="--exemplars FILE.jsonl:8, a set of cotkit list exemplars, or zero-shot-cot",
        )
    ranked = sorted(usable, key=lambda key: content_hash("draw-exemplars", [seed, key]))
    if spread:
        steps = {problem.question.id: problem.n_steps for problem in pool}
        ranked = _rank_in_rounds(ranked, [steps[key] for key in ranked])
    return tuple(usable[key] for key in ranked[:k])


_BEGINNING = re.compile(
    r"\A\s*(?:(?:A|Answer|Solution|Step-by-Step Answer)\s*:)?\s*(?:Let's think step by step\.)?\s*"
)
_LABEL = re.compile(r"\A\s*[^\d.,!?:：。।]{1,40}[:：]\s*")
"""``Frage:``, ``Schritt-für-Schritt-Antwort:``."""
_LAST_WORDS = r"(?<=[\d.!?。।])\s*(?=\D*[^\W\d_])[^\d.!?。।]{1,60}"
"""``Die Antwort ist``, after a sentence or (Thai) a number."""
_ANSWER = re.compile(
    r"(?:\b(?:so|thus|hence|therefore)\b,?\s*)?"
    r"(?:\bthe (?:final |correct )?answer is\b|\b(?:final )?answer\s*:|####)"
    r"(?:(?![.!?]\s+\S)[^\n]){0,80}\s*\Z",
    re.IGNORECASE,
)
_DANGLING = re.compile(r"(?<![^\s.!?])(?:so|thus|hence|therefore)\b,?\s*\Z", re.IGNORECASE)


def make_exemplar(problem: Problem) -> Exemplar:
    """Return a problem as a worked example, so that prompts say nothing twice.

    Prompts write the answer line and its full stop, and ``A:`` before the rationale: they are taken
    off where the data have them, too, as are double spaces. Of another language than English the
    words are not known: what stands before a colon at the beginning (MGSM: ``Frage:``), and a last
    sentence without another number than the answer (``Die Antwort ist 11.``), go.
    """
    rationale = re.sub(r"[ \t]{2,}", " ", problem.rationale or "")
    language = problem.question.language
    if language is not None:
        answered = rf"{_LAST_WORDS}{re.escape(problem.gold)}\D{{0,12}}\Z"
        rationale = re.sub(answered, "", _LABEL.sub("", rationale))
    rationale = _BEGINNING.sub("", rationale, count=1)
    rationale = _DANGLING.sub("", _ANSWER.sub("", rationale)).strip()
    answer = problem.gold.strip()
    if answer.endswith(".") and not answer.endswith(".."):
        answer = answer[:-1]
    text = re.sub(r"(?<=\S)[ \t]{2,}", " ", problem.question.text)
    if language is not None:
        text = _LABEL.sub("", text)
    return Exemplar(question=text, rationale=rationale, answer=answer, language=language)


def _rank_in_rounds(ranked: Sequence[str], groups: Sequence[int | None]) -> list[str]:
    """Return the first of every group, then the second of every group, and so on."""
    counts: Counter[int | None] = Counter()
    rounds: list[tuple[int, str]] = []
    for key, group in zip(ranked, groups, strict=True):
        rounds.append((counts[group], key))
        counts[group] += 1
    return [key for _, key in sorted(rounds, key=lambda pair: pair[0])]


def check_disjoint(exemplars: Iterable[Exemplar], problems: Iterable[Problem]) -> None:
    """Refuse exemplars that are among the evaluated problems.

    Raises:
        UsageError: an exemplar's question, but for case and white space, is an evaluated one.
    """
    evaluated = {_normalise(problem.question.text): problem.question.id for problem in problems}
    for exemplar in exemplars:
        if (leaked := evaluated.get(_normalise(exemplar.question))) is not None:
            raise UsageError(
                f"an exemplar is also an evaluated problem: {leaked}",
                hint="draw exemplars from another file or with another seed",
            )


def _normalise(text: str) -> str:
    return " ".join(text.casefold().split())
