"""What a stored run or a study wants that only its user can allow: it may be a stranger's.

Addresses for a key, code of a model, Python files: what the command line said when the run was made
is not taken over from its record, but has to be said again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from cotkit.backends._hosted.addresses import own_address
from cotkit.backends._hosted.keys import is_trusted
from cotkit.backends._lookup import find_backend
from cotkit.benchmarks import load_benchmark
from cotkit.errors import UsageError
from cotkit.inputs import is_below
from cotkit.protocols import CodeBenchmark
from cotkit.registry import parse_spec
from cotkit.run import RunSpec
from cotkit.run.judge import judge_spec

_WALLED = frozenset({"auto", "bwrap", "kernel"})
_CODE_BENCHMARKS = frozenset({"auto-cot", "inspect", "lm-eval"})
"""Those that may run Python code which their name leads to."""
_URL = re.compile(r"\w+://[^\s\"'<>\\]+")
TRUST_CODE = "--trust-code"
_ADDRESS = "--trust-address"


def required_options(spec: RunSpec) -> list[str]:
    """Return the options that ``cotkit resume`` wants for a run, as they are written."""
    return list(dict.fromkeys(option for option, _ in _list_wishes(spec)))


def check_consent(
    subject: str,
    specs: Sequence[RunSpec],
    options: Collection[str],
    addresses: Sequence[str] = (),
    *,
    source: str = "store",
) -> None:
    """Refuse what wants more than its user allows now.

    Args:
        subject: What wants it, e.g. ``run 3fa9 of the store``.
        specs: As they are stored.
        options: What the user wrote, as :func:`required_options` writes it.
        addresses: Those that the user trusts.
        source: What they come in, and who knows from where.

    Raises:
        UsageError: names all that is wanted, and the options that allow it.
    """
    wishes = [
        (option, wish)
        for spec in specs
        for option, wish in _list_wishes(spec)
        if option not in options
        and not (
            option.startswith(f"{_ADDRESS} ")
            and is_trusted(option.removeprefix(f"{_ADDRESS} "), addresses)
        )
    ]
    if wishes:
        words = ", ".join(dict.fromkeys(wish for _, wish in wishes))
        hint = " ".join(dict.fromkeys(option for option, _ in wishes))
        raise UsageError(
            f"{subject} {words}: a {source} may be a stranger's, so say it again",
            hint=f"if you mean it: {hint}",
        )


def check_code(run_id: str, spec: RunSpec, *, trusts_code: bool) -> None:
    """Refuse to run the Python files that a stored run names.

    Raises:
        UsageError: it names some, and the user did not allow it.
    """
    files = list(dict.fromkeys(_code_files(spec)))
    if files and not trusts_code:
        raise UsageError(
            f"run {run_id} of the store runs {', '.join(files)}: a store may be a stranger's",
            hint=f"if you mean it: {TRUST_CODE}",
        )


def _list_wishes(spec: RunSpec) -> Iterator[tuple[str, str]]:
    """Yield (option, what it allows the run to do)."""
    for asked_spec in filter(None, (spec, judge_spec(spec))):
        for url in _addresses(asked_spec):
            yield f"{_ADDRESS} {url}", f"asks {url}"
        params = find_backend(asked_spec.model, asked_spec.model_args)[0].params
        if params.get("server_args"):
            yield TRUST_CODE, f"starts a server with {params['server_args']}"
        if params.get("trust_remote_code"):
            yield TRUST_CODE, "runs code of the model's folder"
    if spec.run_unsafe_code:
        yield "--confirm-run-unsafe-code", "runs code that a model writes, or a task"
        if spec.sandbox not in _WALLED:
            yield f"--sandbox {spec.sandbox}", f"runs it in the sandbox {spec.sandbox}"
    for file in _code_files(spec):
        yield TRUST_CODE, f"runs {file}"


def _addresses(spec: RunSpec) -> Iterator[str]:
    """Yield the addresses that a spec names, but for a provider's own."""
    backend, model = find_backend(spec.model, spec.model_args)
    own = own_address(backend.name, model)
    names_secret = "$" in backend.params.get("headers", "")
    if own is not None and names_secret and "base_url" not in backend.params:
        yield own  # a stored header may name any variable
    for name, value in backend.params.items():
        for url in [value] if name == "base_url" else _URL.findall(value):
            if names_secret or own is None or not is_below(url, own):
                yield url.rstrip("/")


def _code_files(spec: RunSpec) -> Iterator[str]:
    baseline = () if spec.baseline is None else (spec.baseline,)
    exemplars = spec.exemplars.rpartition(":")[0]
    for text in (spec.bench, exemplars) if spec.run_unsafe_code else ():
        if (source := parse_spec(text)).name in _CODE_BENCHMARKS:
            bench = load_benchmark(source)
            if isinstance(bench, CodeBenchmark) and bench.runs_code:
                yield text
    for text in (spec.bench, *spec.strategies, *baseline):
        if (name := parse_spec(text).name).endswith(".py"):
            yield name
