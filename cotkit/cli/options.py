"""Every option that several commands share, declared once; defaults are those of RunOptions.

A reader is a function whose parameters are options and whose result is what a command works with;
:func:`with_options` gives a command the options of its readers.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import typer
from typer.core import TyperCommand
from typer.models import ParameterInfo

from cotkit.cli.completion import COMPLETIONS
from cotkit.errors import BadInputError, UnknownNameError, UsageError
from cotkit.paths import check_overwrites
from cotkit.printable import mask_passwords
from cotkit.run.spec import DEFAULT_BENCH, DEFAULT_LOG_DIR, DEFAULT_STRATEGY, DEFAULTS

if TYPE_CHECKING:
    from cotkit.executors.ray import RayExecutor
    from cotkit.run.budget import Resources
    from cotkit.run.spec import RunSpec


_T = TypeVar("_T")

_LONGEST_PATH = 1000
DEFAULT_MODEL = "qwen2.5-coder-1.5b"
STUDY_HEAD = "# A study of cotkit:"
"""How a study file that ``--save`` wrote begins."""


# How help shows the options: in panels, the common ones first, no name ever cut.


PANELS: dict[str, tuple[str, ...]] = {
    "Problems": (
        "bench",
        "limit",
        "seed",
        "by_steps",
        "by_length",
        "problem",
        "id_field",
        "text_field",
    ),
    "Prompt": (
        *("strategy", "baseline", "exemplars", "num_fewshot", "exemplar_seed", "exemplar_seeds"),
        "sample_seeds",
        *("thinking", "max_thinking_tokens"),
        *("trigger", "system", "calculator", "max_tokens", "temperature", "gen_kwargs"),
        *("confirm_run_unsafe_code", "sandbox", "trust_code"),
    ),
    "Model": (
        *(
            "model",
            "models",
            "judge",
            "family",
            "over",
            "runs",
            "beside",
            "published",
            "sources",
            "params",
            "loss",
            "x",
        ),
        *("replicates", "include_unverified", "model_args", "apply_chat_template"),
    ),
    "What decides": (
        *("reader", "margin", "gate", "stop_when", "likelihood", "missing", "assume"),
        *("thresholds", "reach"),
    ),
    "Hosted": (
        *("max_connections", "requests_per_minute", "tokens_per_minute", "timeout", "max_tries"),
        *("retry_failed", "trust_address"),
    ),
    "Local": ("device", "dtype", "batch_size", "replicas", "accept_terms"),
    "Money": (
        *("budget_usd", "budget_tokens", "budget_time", "judge_budget_usd", "judge_budget_tokens"),
        *("prices", "batch"),
    ),
    "Cluster": ("executor", "ray_address", "ray_workers", "ray_gpus"),
    "Output": (
        *("format_", "full", "show", "raw", "output", "html", "figures", "samples", "timing"),
        *("display", "track", "log_level", "log_dir", "store", "tag", "save"),
    ),
}
"""Panel of the help -> its options, by parameter; those of no panel stand last."""
RUN_CODE = typer.Option(
    False,
    "--confirm-run-unsafe-code",
    help="Let a task of lm-eval or Inspect run its own code, with all that you may do.",
)
_EXAMPLES = "Examples:"


class PanelledCommand(TyperCommand):
    """A command whose help has its options in panels, and examples that can be copied."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - as below
        """Read the command line; a refusal shows no password of an address."""
        try:
            return super().parse_args(ctx, args)
        except Exception as refused:
            if isinstance(message := getattr(refused, "message", None), str):
                setattr(refused, "message", mask_passwords(message))  # noqa: B010 - no type has it
            raise

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer keeps its types private
        """Write every option, panel by panel; a long name has a line of its own."""
        records = {
            parameter.name or "": record
            for parameter in self.get_params(ctx)
            if (record := parameter.get_help_record(ctx)) is not None
        }
        others = tuple(name for name in records if not any(name in p for p in PANELS.values()))
        for panel, names in (*PANELS.items(), ("Options", others)):
            if rows := [records[name] for name in names if name in records]:
                with formatter.section(panel):
                    formatter.write_dl(rows)

    def format_help_text(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401, ARG002 - as above
        """Write what the command does, wrapped, then its examples as they are."""
        text, _, examples = (self.help or "").replace("\b", "").partition(_EXAMPLES)
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(inspect.cleandoc(text))
        if examples:
            with formatter.section(_EXAMPLES.removesuffix(":")):
                lines = [line.strip() for line in examples.splitlines() if line.strip()]
                formatter.write("".join(f"{'':{formatter.current_indent}}{x}\n" for x in lines))


class CommandGroup(typer.Typer):
    """Commands whose help is plain text in panels: it fits any width."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - those of typer
        """Make a group that prints its help where no command is named."""
        defaults: dict[str, Any] = {
            "no_args_is_help": not settings.get("invoke_without_command", False)
        }
        super().__init__(**defaults | settings, rich_markup_mode=None)

    def command(  # pyright: ignore[reportIncompatibleMethodOverride] - typer names every setting
        self,
        name: str | None = None,
        *,
        cls: type[PanelledCommand] | None = None,
        **settings: Any,  # noqa: ANN401 - as above
    ) -> Any:  # noqa: ANN401 - as above
        """Return the decorator that adds a command."""
        add = super().command(name, cls=cls or PanelledCommand, **settings)

        def add_completing(function: Callable[..., None]) -> Callable[..., None]:
            for key, parameter in inspect.signature(function).parameters.items():
                if key in COMPLETIONS and isinstance(parameter.default, ParameterInfo):
                    parameter.default.autocompletion = COMPLETIONS[key]
            return add(function)

        return add_completing


# What is run: the fields of a spec.


def read_specs(
    strategy: list[str] = typer.Option(
        [DEFAULT_STRATEGY],
        "--strategy",
        "-s",
        help="NAME or NAME:key=value+value, or your own: ./prompt.jinja, ./idea.py; separated by"
        " commas; may be repeated.",
    ),
    bench: list[str] = typer.Option(
        [DEFAULT_BENCH],
        "--bench",
        "--tasks",
        help="NAME, or your own: FILE.jsonl or .csv, FILE.py, lm-eval:TASK.yaml,"
        " inspect:FILE.py/TASK; may be repeated.",
    ),
    model: str = typer.Option(
        DEFAULT_MODEL,
        "--model",
        "-m",
        help="Catalogue name, hub id, folder, GGUF, or BACKEND/NAME (openai/gpt-5.4-mini).",
    ),
    model_args: str = typer.Option(
        "",
        "--model-args",
        help="Backend settings: key=value,key=value (chat, base_url, reasoning_effort, ...).",
    ),
    judge: str | None = typer.Option(
        DEFAULTS.judge,
        "--judge",
        help="Model that judges for best-of-n: NAME or NAME:key=value. (default: the model itself)",
    ),
    baseline: str | None = typer.Option(
        DEFAULTS.baseline,
        "--baseline",
        help="Measure against this strategy instead of each one's control; or chance.",
    ),
    limit: str | None = typer.Option(
        None,
        "--limit",
        help="How many problems, drawn by --seed; or all. (default: 200; a ladder of simulated or "
        "pocket models: 500)",
    ),
    seed: int = typer.Option(
        DEFAULTS.seed, "--seed", help="Draws the problems and their order; seeds sampled decoding."
    ),
    exemplars: str = typer.Option(
        DEFAULTS.exemplars,
        "--exemplars",
        help="Worked examples: builtin:K, train:K, rest:K, similar:K, complex:K, a set's (dates:K; "
        "cotkit list exemplars), lm-eval:TASK:K, FILE.jsonl:K.",
    ),
    num_fewshot: int | None = typer.Option(
        None, "--num-fewshot", help="How many exemplars (replaces K of --exemplars)."
    ),
    exemplar_seed: int | None = typer.Option(
        None,
        "--exemplar-seed",
        help="Which exemplars are drawn; for the built-in ones, their order. (default: 0)",
    ),
    exemplar_seeds: str | None = typer.Option(
        None,
        "--exemplar-seeds",
        help="Several exemplar seeds, e.g. 0,1,2: how much they matter; of a ladder the mean.",
    ),
    sample_seeds: str | None = typer.Option(
        None,
        "--sample-seeds",
        help="The same with seeds of sampled decoding, on the same problems.",
    ),
    max_tokens: int | None = typer.Option(
        None, "--max-tokens", help="Token limit of every arm (default: each strategy's own)."
    ),
    temperature: float | None = typer.Option(
        None, "--temperature", help="0 is greedy (default: 0)."
    ),
    thinking: str | None = typer.Option(
        DEFAULTS.thinking,
        "--thinking",
        help="off, on, an effort (low, high, ...) or a budget in tokens; of one arm:"
        " --strategy cot:thinking=off+high. (default: the model's own)",
    ),
    max_thinking_tokens: int | None = typer.Option(
        DEFAULTS.max_thinking_tokens,
        "--max-thinking-tokens",
        help="Most tokens of thinking, beside those of the answer (default: by effort).",
    ),
    trigger: str | None = typer.Option(
        None,
        "--trigger",
        help="Zero-shot trigger: a name (cotkit list triggers), or any sentence of yours.",
    ),
    system: str | None = typer.Option(
        DEFAULTS.system, "--system", help="System message of every request: TEXT, or a file."
    ),
    calculator: bool = typer.Option(
        False, "--calculator", help="Work out the equations of a chain and put the results in."
    ),
    gen_kwargs: str = typer.Option(
        "", "--gen-kwargs", help="Strategy parameters of every arm: key=value,key=value."
    ),
    reader: str = typer.Option(
        DEFAULTS.reader, "--reader", help="Who decides what is correct (cotkit list readers)."
    ),
    margin: float = typer.Option(
        100 * DEFAULTS.margin, "--margin", help="Smallest gain that counts as material, in points."
    ),
    batch_size: int | None = typer.Option(
        None, "--batch-size", help="Rows at once on a local model (default: what memory allows)."
    ),
    device: str | None = typer.Option(
        None, "--device", help="cpu, cuda, cuda:1, mps ... (default: auto)."
    ),
    dtype: str | None = typer.Option(
        None, "--dtype", help="float32, bfloat16, float16; on CPUs int8, q4 (default: auto)."
    ),
    replicas: str | None = typer.Option(
        None,
        "--replicas",
        help="Copies of a local model, each in a process (default: 1; auto: one for each GPU).",
    ),
    apply_chat_template: bool = typer.Option(
        False, "--apply-chat-template", help="Wrap prompts in the model's chat template."
    ),
    batch: bool = typer.Option(
        DEFAULTS.batch,
        "--batch",
        help="Ask through the batch API of openai/ or anthropic/: half the price, up to a day.",
    ),
    tag: str | None = typer.Option(
        DEFAULTS.tag, "--tag", help="A word for the run, in cotkit list runs: --tag nightly."
    ),
    likelihood: bool = typer.Option(
        DEFAULTS.likelihood,
        "--likelihood",
        help="Also ask for the log-probability of gold answers.",
    ),
    stop_when: str | None = typer.Option(
        DEFAULTS.stop_when,
        "--stop-when",
        help="decided: end the run once every gain is surely above or below --margin.",
    ),
    accept_terms: bool = typer.Option(
        False, "--accept-terms", help="Agree to the licence terms of a model that asks for it."
    ),
    confirm_run_unsafe_code: bool = typer.Option(
        DEFAULTS.run_unsafe_code,
        "--confirm-run-unsafe-code",
        help="Let strategies run code that a model wrote, in a sandbox; and a task of lm-eval or"
        " Inspect its own code, with all that you may do.",
    ),
    sandbox: str = typer.Option(
        DEFAULTS.sandbox,
        "--sandbox",
        help="Keeps such code from files, network and processes by the kernel's walls (auto, bwrap,"
        " kernel); docker or podman[:IMAGE] is the boundary for hostile code; none: no wall.",
    ),
) -> list[RunSpec]:
    """Return the specs that the options mean, one for each benchmark.

    Raises:
        UsageError: an option cannot be read.
    """
    from cotkit.registry import parse_params
    from cotkit.run.spec import RunSpec, list_specs

    generation = parse_params(gen_kwargs)
    if max_tokens is not None:
        generation["max_tokens"] = str(max_tokens)
    if temperature is not None:
        generation["temperature"] = str(temperature)
    if trigger is not None:
        generation["trigger"] = trigger
    if calculator:
        generation["calculator"] = "true"
    if exemplar_seed is not None and exemplar_seeds is not None:
        raise UsageError(
            "--exemplar-seed and --exemplar-seeds exclude each other", hint="name all in the second"
        )
    settings = parse_params(model_args)
    settings |= _settings(batch_size=batch_size, device=device, dtype=dtype, replicas=replicas)
    settings |= {"chat": "true"} if apply_chat_template else {}
    settings |= {"accept_terms": "true"} if accept_terms else {}
    spec = RunSpec(
        model=model,
        model_args=settings,
        strategies=list_specs(strategy),
        baseline=baseline,
        judge=judge,
        limit=_read_limit(limit),
        seed=seed,
        exemplars=exemplars if num_fewshot is None else _set_exemplar_count(exemplars, num_fewshot),
        exemplar_seed=DEFAULTS.exemplar_seed if exemplar_seed is None else exemplar_seed,
        exemplar_seeds=_read_seeds("--exemplar-seeds", exemplar_seeds),
        sample_seeds=_read_seeds("--sample-seeds", sample_seeds),
        generation=generation,
        system=None if system is None else read_system(system),
        reader=reader,
        margin=margin / 100,
        thinking=thinking,
        max_thinking_tokens=max_thinking_tokens,
        run_unsafe_code=confirm_run_unsafe_code,
        sandbox=sandbox,
        stop_when=_read_stop(stop_when),
        likelihood=likelihood,
        batch=batch,
        tag=tag,
    )
    return [replace(spec, bench=text) for text in dict.fromkeys(list_specs(bench))]


def read_system(text: str) -> str:
    """Return the system message: what the file of this name holds, or the text itself."""
    is_one_line = "\n" not in text and len(text) < _LONGEST_PATH
    path = Path(text)
    if not (is_one_line and path.is_file()):
        if is_one_line and " " not in text and path.suffix in {".txt", ".md", ".jinja"}:
            raise BadInputError(path, "no such file")
        return text
    try:
        return path.read_text(encoding="utf-8-sig").rstrip()
    except (OSError, UnicodeDecodeError) as unreadable:
        why = getattr(unreadable, "strerror", None) or "is no text in UTF-8"
        raise BadInputError(path, str(why)) from unreadable


def _settings(**settings: object) -> dict[str, str]:
    """Return the fields of a backend that have a value, as ``--model-args`` would give them."""
    return {name: str(value) for name, value in settings.items() if value is not None}


# From readers to commands.


def _evaluate(function: Callable[..., object], parameter: inspect.Parameter) -> inspect.Parameter:
    """Return a parameter with its annotation evaluated, as typer wants it."""
    if not isinstance(parameter.annotation, str):
        return parameter
    names: dict[str, object] = getattr(inspect.unwrap(function), "__globals__", {})
    value = eval(parameter.annotation, names)  # noqa: S307 - the annotation of our own function
    return parameter.replace(annotation=value)


def with_options(
    *readers: Callable[..., object],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of each reader in place of its first parameters, in order."""
    shared = [
        {name: _evaluate(reader, p) for name, p in inspect.signature(reader).parameters.items()}
        for reader in readers
    ]

    def wrap(command: Callable[..., None]) -> Callable[..., None]:
        parameters = list(inspect.signature(command).parameters.values())[len(readers) :]
        own = [_evaluate(command, parameter) for parameter in parameters]

        def run(**options: object) -> None:
            values = [{name: options.pop(name) for name in names} for names in shared]
            results = [
                reader(**arguments) for reader, arguments in zip(readers, values, strict=True)
            ]
            command(*results, **options)

        run.__doc__ = command.__doc__
        run.__annotations__ = {}  # typer then takes those of the signature
        options = [parameter for names in shared for parameter in names.values()]
        keywords = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*options, *own)]
        setattr(run, "__signature__", inspect.Signature(keywords))  # noqa: B010 - no stub has it
        return run

    return wrap


def _check_target(path: Path, begins: str, what: str) -> None:
    """Refuse a file that could not be written; as ``check_overwrites``.

    Raises:
        UsageError: it is of another kind, or its folder is not there.
    """
    check_overwrites(path, begins.encode(), what)
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {path}: there is no folder {path.parent}")


def read_user_options(
    ctx: typer.Context,
    save: Path | None = typer.Option(
        None, "--save", help="Also write these options as a study file, for cotkit run FILE."
    ),
) -> frozenset[str]:
    """Return the names of the parameters that the user wrote on the command line.

    Raises:
        UsageError: the file of ``--save``, which ``StudyCommand`` writes, cannot be written.
    """
    if save is not None:
        _check_target(save, STUDY_HEAD.lower(), "study that --save wrote")
    sources = {name: ctx.get_parameter_source(name) for name in ctx.params.keys() - {"save"}}
    return frozenset(
        name
        for name, source in sources.items()
        if source is not None and source.name == "COMMANDLINE"
    )


def fix_options(reader: Callable[..., _T], /, **fixed: object) -> Callable[..., _T]:
    """Return a reader without some options, which always have these values.

    Raises:
        KeyError: it has no such option.
    """
    parameters = inspect.signature(reader).parameters
    shared = {name: _evaluate(reader, value) for name, value in parameters.items()}
    for name in fixed:
        del shared[name]

    def read(**options: object) -> _T:
        return reader(**options, **fixed)

    setattr(read, "__signature__", inspect.Signature(list(shared.values())))  # noqa: B010 - as above
    return read


def _read_limit(text: str | None) -> int | Literal["all"] | None:
    from cotkit.registry import parse_integer

    if text is None:
        return None
    if text == "all":
        return "all"
    try:
        return parse_integer(text)
    except ValueError:
        raise UsageError(f"--limit {text!r} is not a number", hint="a number, or all") from None


def _read_stop(text: str | None) -> Literal["decided"] | None:
    if text not in {None, "decided"}:
        raise UsageError(f"--stop-when {text!r} is not known", hint="decided")
    return "decided" if text else None


def _read_seeds(option: str, text: str | None) -> tuple[int, ...]:
    from cotkit.registry import parse_integer

    if text is None:
        return ()
    try:
        return tuple(map(parse_integer, text.split(",")))
    except ValueError:
        raise UsageError(f"{option} {text!r} is not a list of numbers", hint="e.g. 0,1,2") from None


def _set_exemplar_count(exemplars: str, k: int) -> str:
    source, _, count = exemplars.rpartition(":")
    return f"{source if source and count.isdigit() else exemplars}:{k}"


# How fast one call may go and what it may spend: they change no answer.


_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def read_resources(
    budget_usd: float | None = typer.Option(
        None,
        "--budget-usd",
        help="Stop near so many dollars (list prices), the same problems done in every arm.",
    ),
    budget_tokens: int | None = typer.Option(
        None, "--budget-tokens", help="The same for tokens, prompts and answers together."
    ),
    budget_time: str | None = typer.Option(
        None, "--budget-time", help="The same for the time the run takes: 90s, 30m, 2h."
    ),
    judge_budget_usd: float | None = typer.Option(
        None, "--judge-budget-usd", help="Stop near so many dollars of the judge (--judge)."
    ),
    judge_budget_tokens: int | None = typer.Option(
        None, "--judge-budget-tokens", help="The same for the judge's tokens."
    ),
    prices: Path | None = typer.Option(
        None, "--prices", help="Your own prices (TOML file), asked first. (default: $COTKIT_PRICES)"
    ),
    retry_failed: bool = typer.Option(
        False,
        "--retry-failed",
        help="Hosted models: try again what a server refused for good (a 400 for one prompt), too.",
    ),
    trust_address: list[str] = typer.Option(
        [],
        "--trust-address",
        help="Hosted models: URL that may have the key though only a file here (.env, the store"
        " of cotkit resume) names it; may be repeated.",
    ),
) -> Resources:
    """Return what the options allow; the executor is read by :func:`read_executor`.

    Raises:
        UsageError: an option cannot be read.
    """
    from cotkit.backends._hosted.keys import check_url
    from cotkit.run.budget import Budget, Resources

    seconds = None if budget_time is None else _read_seconds(budget_time)
    return Resources(
        budget=Budget(usd=budget_usd, tokens=budget_tokens, seconds=seconds),
        judge_budget=Budget(usd=judge_budget_usd, tokens=judge_budget_tokens),
        prices=prices,
        retry_failed=retry_failed,
        trusted_addresses=tuple(check_url("--trust-address", url) for url in trust_address),
    )


def read_pace(
    max_connections: int | None = typer.Option(
        None, "--max-connections", help="Hosted models: most calls at once (default: 32)."
    ),
    requests_per_minute: float | None = typer.Option(
        None,
        "--requests-per-minute",
        help="Hosted models: most calls a minute (default: no limit).",
    ),
    tokens_per_minute: float | None = typer.Option(
        None,
        "--tokens-per-minute",
        help="Hosted models: most tokens a minute, prompt and generated (default: no limit).",
    ),
    timeout: float | None = typer.Option(
        None,
        "--timeout",
        help="Hosted models: seconds that one try of a call may take (default: 120).",
    ),
    max_tries: int | None = typer.Option(
        None,
        "--max-tries",
        help="Hosted models: tries of a call before its attempt counts as failed (default: 8).",
    ),
) -> dict[str, str]:
    """Return fields of the backend, as ``--model-args`` would give them."""
    return _settings(
        max_connections=max_connections,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        timeout_s=timeout,
        max_tries=max_tries,
    )


def _read_seconds(text: str) -> float:
    length = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if length is None:
        raise UsageError(f"--budget-time {text!r} is no length of time", hint="90s, 30m or 2h")
    return float(length[1]) * _UNITS[length[2]]


# What a stored run may do again: a store may be a stranger's.


def read_consent(
    trust_code: bool = typer.Option(
        False, "--trust-code", help="Run the Python files that the stored run names (./mine.py)."
    ),
) -> bool:
    """Return whether Python files that a stored run names may be run."""
    return trust_code


# Where the store is.


def read_place(
    log_dir: Path = typer.Option(
        DEFAULT_LOG_DIR, "--log-dir", help="Folder of the store; what it holds is not made again."
    ),
    store: str | None = typer.Option(
        None,
        "--store",
        envvar="COTKIT_STORE",
        help="Instead: postgresql://USER@HOST/DATABASE, a store that several may write.",
    ),
) -> Path | str:
    """Return the folder, or the URL of a database."""
    return store or log_dir


# Where requests are answered.


class Executor(StrEnum):
    """Which machines ask the model."""

    here = "here"
    ray = "ray"


def read_executor(
    executor: Executor = typer.Option(
        Executor.here, "--executor", help="ray: ask the model on the machines of a Ray cluster."
    ),
    ray_address: str | None = typer.Option(
        None,
        "--ray-address",
        help="HOST:PORT; auto: this machine's cluster; local: begin one. (default: auto)",
    ),
    ray_workers: int | None = typer.Option(
        None,
        "--ray-workers",
        help="Workers (default: local models as many copies as fit, others one a node).",
    ),
    ray_gpus: float | None = typer.Option(
        None, "--ray-gpus", help="GPUs of each copy of a local model on CUDA (default: 1)."
    ),
) -> RayExecutor | None:
    """Return the executor; None: this process asks.

    Raises:
        UsageError: an option without effect, or out of range.
    """
    if executor is Executor.here:
        if (ray_address, ray_workers, ray_gpus) != (None, None, None):
            raise UsageError("the --ray- options are of --executor ray", hint="add --executor ray")
        return None
    from cotkit.executors.ray import RayExecutor

    return RayExecutor(
        address=ray_address or "auto",
        workers=ray_workers,
        gpus=1 if ray_gpus is None else ray_gpus,
    )


# How answers are printed and progress is shown.


class Format(StrEnum):
    """How the answer is printed."""

    table = "table"
    markdown = "markdown"
    json = "json"
    csv = "csv"
    latex = "latex"
    lm_eval = "lm-eval"
    model_index = "model-index"
    eval_results = "eval-results"


FILE_FORMATS = {
    ".json": ("json", "{"),
    ".csv": ("csv", "section"),
    ".md": ("markdown", "**"),
    ".tex": ("latex", "% needs"),
}
"""Ending of a file -> the format that is written to it, and how such a report begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How an answer is printed."""

    format: Format
    """In which format."""
    full: bool
    """Whether all of it is printed on a terminal; False: what fits one screen."""
    show: tuple[str, ...]
    """Sections to be printed instead; empty: none were named."""
    raw: bool
    """Whether cells of CSV are neither escaped nor guarded."""
    outputs: tuple[Path, ...] = ()
    """Files that it is written to as well; their endings say in which format."""

    def settings(self) -> dict[str, object]:
        """Return the keyword arguments of ``cotkit.report.render`` that say the same."""
        return {
            "format": self.format.value,
            "full": self.full,
            "show": self.show,
            "raw": self.raw,
        }


def read_view(
    format_: Format = typer.Option(Format.table, "--format", "-f", help="How to print the answer."),
    full: bool = typer.Option(False, "--full", help="Print every table and note."),
    show: list[str] = typer.Option(
        [],
        "--show",
        help="Print these sections below the answer: metrics,outcomes,notes; may be repeated.",
    ),
    raw: bool = typer.Option(
        False, "--raw", help="With csv: cells as they are, also those that begin a formula."
    ),
    output: list[Path] = typer.Option(
        [], "--output", help="Also write the answer to FILE.json, .csv, .md or .tex; repeat it."
    ),
) -> View:
    """Return how the answer is printed.

    Raises:
        UnknownNameError: no report has such a section.
        UsageError: what is named has no effect.
    """
    from cotkit.report.document import SECTIONS

    sections = tuple(name for text in show for name in text.split(",") if name)
    for name in sections:
        if name not in SECTIONS:
            raise UnknownNameError("section", name, SECTIONS)
    if full and sections:
        raise UsageError("--full prints every section, so --show has no effect")
    if (full or sections) and format_ is not Format.table:
        name = "--full" if full else "--show"
        raise UsageError(f"{name} is of the table: --format {format_.value} is always whole")
    if raw and format_ is not Format.csv:
        raise UsageError("--raw has no effect without --format csv")
    for path in output:
        if path.suffix not in FILE_FORMATS:
            raise UsageError(
                f"--output {path}: in which format?", hint=f"FILE{' or FILE'.join(FILE_FORMATS)}"
            )
        format_name, begins = FILE_FORMATS[path.suffix]
        _check_target(path, begins, f"report in {format_name}")
    return View(format=format_, full=full, show=sections, raw=raw, outputs=tuple(output))


class Display(StrEnum):
    """How progress is shown."""

    full = "full"
    plain = "plain"
    none = "none"
