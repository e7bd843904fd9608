"""Strategies as tasks of lm-evaluation-harness: one YAML for each, on the same problems.

A task of lm-eval asks once, with a prompt that is rendered before, and reads with regular
expressions. So strategies of one request become tasks, word for word; others are refused. Prompts,
stops and token limit are those of ``cotkit compare``; what lm-eval cannot stop at (the end of the
answer line) is cut off before its filters read. The filters are those of its ``gsm8k`` tasks, which
our readers ``lm-eval-strict`` and ``lm-eval-flexible`` reproduce.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cotkit import __version__
from cotkit.errors import UsageError
from cotkit.interop.lm_eval.model import generation_kwargs
from cotkit.paths import check_overwrites
from cotkit.protocols import Benchmark, OracleStrategy
from cotkit.run import Arm, Plan, RunSpec, make_plan
from cotkit.types import Attempt, Completion, Decoding, Problem, Request

PROBLEMS, CODE = "problems.jsonl", "cotkit_tasks.py"
_BEGINS = '"""Written by cotkit '

_PROBE_ANSWERS = (" 1", "1", " No.\nThe answer is 1.")
_HASH = r"#### (\-?[0-9\.\,]+)"
_STRICT = rf"{_HASH}|(?s:\A(?!.*#### \-?[0-9\.\,]).*?)The answer is (\-?[0-9\.\,]+)."
"""``gsm8k``'s pattern; of a text without such a match, that of ``gsm8k_cot``."""
_FLEXIBLE = r"(-?[$0-9.,]{2,})|(-?[0-9]+)"
_IGNORED = (",", r"\$", r"(?s).*#### ", r"\.$")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """One arm as a task of lm-eval."""

    arm: str
    name: str
    function: str
    """The function of the Python file that puts the cue back and cuts the text."""
    prompts: Mapping[str, str]
    """Problem id -> prompt."""
    decoding: Decoding
    cue: str
    """The part of the answer line that ends the prompt; the filters need it before the answer."""


def write_tasks(spec: RunSpec, bench: Benchmark, folder: Path) -> list[Path]:
    """Write one task for each arm, controls included, their problems, and the code they share.

    Args:
        spec: Strategies, exemplars, limit and seed; its model is not used.
        bench: The benchmark of the problems.
        folder: Made if missing; ``lm_eval --include_path FOLDER --tasks NAME`` finds the tasks.

    Returns:
        The files: problems, code, then a YAML for each arm.

    Raises:
        UsageError: the answers are no numbers, a strategy asks more than once, or the folder cannot
            be written or holds other files of these names.
    """
    if bench.answer_kind != "number":
        raise UsageError(
            f"{bench.name} asks for a {bench.answer_kind}, and lm-eval's filters read numbers",
            hint="a benchmark of numbers: gsm8k, gsm-mini, svamp, arithmetic",
        )
    plan = make_plan(spec, bench)
    if ambiguous := next((problem for problem in plan.problems if problem.also), None):
        raise UsageError(f"{ambiguous.question.id} has several right answers; a task here has one")
    tasks = [_make_task(arm, plan) for arm in plan.arms]
    if not (folder / CODE).exists():  # else cotkit wrote what is there
        for name in (PROBLEMS, *(f"{task.name}.yaml" for task in tasks)):
            if (folder / name).exists():
                raise UsageError(f"{folder / name} is there", hint="take a folder of its own")
    check_overwrites(folder / CODE, _BEGINS.lower().encode(), "code of lm-eval tasks by cotkit")
    files = {
        PROBLEMS: "".join(_make_row(problem, tasks) for problem in plan.problems),
        CODE: _write_code(tasks),
        **{f"{task.name}.yaml": _write_yaml(task, plan) for task in tasks},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as refused:
        raise UsageError(f"cannot write {folder}: {refused.strerror}") from refused
    return [folder / name for name in files]


def _make_task(arm: Arm, plan: Plan) -> _Task:
    requests = {problem.question.id: _only_request(arm, problem) for problem in plan.problems}
    ((decoding, cue),) = {(request.decoding, cue) for request, cue in requests.values()}
    return _Task(
        arm=arm.name,
        name=f"cotkit-{_task_name(plan.bench_name)}-{_task_name(arm.name)}",
        function="whole_" + re.sub(r"\W+", "_", arm.name),
        prompts={
            problem_id: "".join(message.content for message in request.messages)
            for problem_id, (request, _) in requests.items()
        },
        decoding=decoding,
        cue=cue,
    )


def _only_request(arm: Arm, problem: Problem) -> tuple[Request, str]:
    """Return the one request of a strategy, and the cue that it puts before the answer."""
    requests: set[tuple[Request, str]] = set()
    for answer in _PROBE_ANSWERS:
        strategy = arm.strategy_for(problem.question)
        if isinstance(strategy, OracleStrategy):
            raise _task_error(arm, "sees the gold answers")
        flow = strategy.solve(problem.question)
        request = next(flow)
        if not isinstance(request, Request) or request.samples != (0,):
            raise _task_error(arm, "takes several samples")
        try:
            flow.send((Completion(text=answer, stop_reason="stop"),))
        except StopIteration as ended:
            requests.add((request, _find_cue(arm, ended.value, answer)))
        else:
            flow.close()
            raise _task_error(arm, "asks more than once")
    if len(requests) > 1:
        raise _task_error(arm, "changes what the model wrote")
    return requests.pop()


def _find_cue(arm: Arm, attempt: Attempt, text: str) -> str:
    before = attempt.text.removesuffix(text)
    if before == attempt.text or getattr(arm.strategy, "calculator", False):
        raise _task_error(arm, "changes what the model wrote")
    return before if text[0].isspace() else before.removesuffix(" ")


def _task_error(arm: Arm, why: str) -> UsageError:
    hint = "such as few-shot, cot, equation-only, answer-first; inspect eval takes every strategy"
    return UsageError(f"{arm.name} {why}: a task of lm-eval asks once and reads", hint=hint)


def _make_row(problem: Problem, tasks: Sequence[_Task]) -> str:
    """Write a problem as a row that is the same in every task, so that its hash pairs results."""
    question = problem.question
    prompts = {task.arm: task.prompts[question.id] for task in tasks}
    row = {"id": question.id, "question": question.text, "answer": problem.gold, "prompts": prompts}
    return json.dumps(row, ensure_ascii=False) + "\n"


def _write_code(tasks: Sequence[_Task]) -> str:
    lines = [
        f'{_BEGINS}{__version__}: what its tasks for lm-eval share."""',
        "",
        "import json",
        "import re",
        "from pathlib import Path",
        "",
        "import datasets",
        "",
        "",
        "def problems(**_):",
        f'    text = Path(__file__).with_name("{PROBLEMS}").read_text(encoding="utf-8")',
        '    rows = [json.loads(line) for line in text.split("\\n") if line]',
        '    return {"test": datasets.Dataset.from_list(rows)}',
        "",
        "",
        "def _whole(text, cue, stop_after):",
        "    if found := stop_after and re.search(stop_after, text):",
        "        text = text[: found.end()]  # the end of the answer line",
        '    return cue + (" " if cue and not text[:1].isspace() else "") + text',
    ]
    for task in tasks:
        lines += [
            *("", "", f"def {task.function}(resps, docs):"),
            f"    cue, stop_after = {task.cue!r}, {task.decoding.stop_after!r}",
            "    return [[_whole(text, cue, stop_after) for text in of] for of in resps]",
        ]
    return "\n".join(lines) + "\n"


def _write_yaml(task: _Task, plan: Plan) -> str:
    metric = {
        "metric": "exact_match",
        "aggregation": "mean",
        "higher_is_better": True,
        "ignore_case": True,
        "ignore_punctuation": False,
        "regexes_to_ignore": list(_IGNORED),
    }
    about = {"bench": plan.bench_name, "arm": task.arm, "bench_version": plan.bench_version}
    arm = task.arm.replace("'", "\\'")
    fields = {
        "task": task.name,
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": f"{{{{prompts['{arm}']}}}}",
        "doc_to_target": "{{answer}}",
        "num_fewshot": 0,
        "generation_kwargs": generation_kwargs(task.decoding),
        "metric_list": [metric],
        "metadata": {"version": 1.0, "cotkit": about},
    }
    lines = [
        f"# Written by cotkit {__version__}: {task.arm} on {plan.bench_name}. The prompts are in",
        f"# {PROBLEMS}, exemplars included: --num_fewshot stays 0, and no chat template is meant.",
        *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()),
        f"custom_dataset: !function {Path(CODE).stem}.problems",
        "filter_list:",
    ]
    for name, pattern, which in (("strict-match", _STRICT, 0), ("flexible-extract", _FLEXIBLE, -1)):
        regex = {"function": "regex", "regex_pattern": pattern, "group_select": which}
        lines += [
            f"  - name: {name}",
            "    filter:",
            "      - function: custom",
            f"        filter_fn: !function {Path(CODE).stem}.{task.function}",
            f"      - {json.dumps(regex)}",
            "      - function: take_first",
        ]
    return "\n".join(lines) + "\n"


def _task_name(name: str) -> str:
    """Make a name fit for a task and its file."""
    return re.sub(r"[^\w.-]+", "-", name.removesuffix(".jsonl")).strip("-.")
