"""The judge of a run: another model, with its own key, price and budget, and what it was asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cotkit.errors import UsageError
from cotkit.identity import backend_key
from cotkit.models.prices import Price, price_of
from cotkit.protocols import Backend
from cotkit.run.backend import build_backend, with_model
from cotkit.run.budget import Budget, Meter, Resources
from cotkit.run.plan import Plan
from cotkit.run.spec import RunSpec
from cotkit.store import Store
from cotkit.types import BackendInfo, Completion, Notify


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A model that answers the requests of the role ``judge``."""

    backend: Backend
    """Where it is asked."""
    meter: Meter
    """What it may spend."""

    @property
    def key(self) -> str:
        """Its identity."""
        return backend_key(self.backend.info)


def judge_spec(spec: RunSpec) -> RunSpec | None:
    """Return a spec whose model, with its settings, is the judge of another; None: it has none.

    Raises:
        UsageError: a setting is none of its backend's.
    """
    if spec.judge is None:
        return None
    judged = with_model(replace(spec, model_args={}, generation={}, judge=None), spec.judge)
    if judged.generation:
        name = next(iter(judged.generation))
        raise UsageError(
            f"judge {spec.judge}: {name} is no setting of its backend",
            hint="how long it may write is a parameter of the strategy: best-of-n:judge_tokens=512",
        )
    return judged


def build_judge(
    plan: Plan,
    *,
    info: BackendInfo,
    store: Store | None,
    notify: Notify,
    resources: Resources,
) -> Judge | None:
    """Build the judge that a plan's spec names; None: the model (``info``) judges itself.

    Raises:
        CotkitError: as ``build_backend``; or a budget holds the model alone, or a batch cannot wait
            for a judge.
    """
    spec = plan.spec
    judged = judge_spec(spec)
    if judged is None:
        if resources.judge_budget != Budget():
            raise UsageError("a budget of the judge, and no judge", hint="--judge MODEL")
        return None
    if spec.batch:
        raise UsageError("a batch sends everything at once: it cannot wait for a judge")
    model, judge = resources.budget, resources.judge_budget
    for name in ("usd", "tokens"):
        if getattr(model, name) is not None and getattr(judge, name) is None:
            raise UsageError(
                f"--budget-{name} is the model's alone: it does not hold the judge {spec.judge}",
                hint=f"--judge-budget-{name}, too",
            )
    backend = build_backend(
        judged.model,
        judged.model_args,
        problems=plan.known_problems,
        store=store,
        notify=notify,
        trusted_addresses=resources.trusted_addresses,
    )
    if backend_key(backend.info) == backend_key(info):
        return None
    price = _price_of(backend.info, resources.prices)
    meter = Meter(judge, price, model=backend.info.model, option="--judge-budget")
    return Judge(backend=backend, meter=meter)


def _price_of(info: BackendInfo, prices: Path | None) -> Price | None:
    return price_of(info.backend, info.model, prices, base_url=info.settings.get("base_url"))


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeUsage:
    """What the judge of a run was asked, by arm; shared completions are counted for each."""

    model: str
    """The judge as reports name it."""
    calls: Mapping[str, int]
    """Arm -> completions."""
    tokens: Mapping[str, int]
    """Arm -> prompt and generated tokens, as far as they are known."""
    usd: Mapping[str, float] | None
    """Arm -> dollars at list prices; None: the price is unknown."""
    as_of: str = ""
    """Date of the price."""

    def notes(self) -> Iterator[str]:
        """Yield a sentence for each arm that asked the judge."""
        for arm, n_calls in self.calls.items():
            dollars = ""
            if self.usd is not None:
                dollars = f", ${self.usd[arm]:.4g} at list prices of {self.as_of}"
            yield (
                f"judge {self.model}: {arm} asked it {n_calls:,} times, {self.tokens[arm]:,}"
                f" tokens{dollars}; no column of costs holds that"
            )


def read_judge(
    store: Store, run_id: str, key: str | None, prices: Path | None = None
) -> JudgeUsage | None:
    """Return what the attempts of a run asked of its judge (its key); None: it has none."""
    if key is None or (info := store.backend(key)) is None:
        return None
    price = _price_of(info, prices)
    calls, tokens, usd = Counter[str](), Counter[str](), dict[str, float]()
    for arm, completion in store.answers_of(run_id, key):
        prompt, generated = _tokens(completion)
        calls[arm] += 1
        tokens[arm] += prompt + generated
        if price is not None:
            shared, writes = completion.n_shared_tokens, completion.n_cache_write_tokens
            usd[arm] = usd.get(arm, 0.0) + price.cost(prompt, shared, writes, generated)
    return JudgeUsage(
        model=info.model,
        calls=calls,
        tokens=tokens,
        usd=None if price is None else usd,
        as_of="" if price is None else str(price.as_of),
    )


def _tokens(completion: Completion) -> tuple[int, int]:
    return completion.n_prompt_tokens or 0, completion.n_generated_tokens or 0
