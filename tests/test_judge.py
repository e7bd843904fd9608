"""The judge of a run: who is asked, under which identity, what it costs, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import cotkit
from cotkit.errors import UsageError
from cotkit.identity import canonical_json, request_key
from cotkit.run.spec import RunSpec
from cotkit.store import Store
from cotkit.strategies.best_of_n import BestOfN
from cotkit.types import Completion, Decoding, Message, Request
from cotkit.workflows.consent import required_options
from tests.conftest import Cotkit, Sums
from tests.test_prompts import AWKWARD, EXEMPLARS, asked

RUN = ("compare", "--model", "simulated/3b", "--bench", "gsm-mini", "--limit", "6")
BEST = ("--strategy", "best-of-n:n=3", "--display", "none")


def test_the_role_is_in_no_key_and_in_no_text_of_a_plain_request() -> None:
    message = Message(role="user", content="Q")
    plain = Request(messages=(message,), decoding=Decoding(max_tokens=8))
    judging = Request(messages=(message,), decoding=Decoding(max_tokens=8), role="judge")
    assert request_key(plain) == request_key(judging)
    assert "role" not in canonical_json(plain).replace('"role":"user"', "")
    assert "judge" not in RunSpec(model="m").to_json()


def test_the_best_of_the_samples_is_kept_and_the_judge_sees_each_alone() -> None:
    running = BestOfN(exemplars=EXEMPLARS, n=3).solve(AWKWARD)
    request = asked(next(running))
    assert (request.samples, request.role) == ((0, 1, 2), "model")
    texts = [f" The answer is {n}." for n in range(3)]
    step = running.send(tuple(Completion(text=text, stop_reason="stop") for text in texts))
    judgement: tuple[Completion, ...] = ()
    for i, score in enumerate((" 4", "none", " I find it right.\nScore: 9")):
        judging = asked(step)
        assert judging.role == "judge"
        assert judging.decoding.temperature == 0
        prompt = judging.messages[0].content
        assert [text.strip() in prompt for text in texts] == [j == i for j in range(3)]
        judgement = (Completion(text=score, stop_reason="stop"),)
        if i < 2:
            step = running.send(judgement)
    with pytest.raises(StopIteration) as ended:
        running.send(judgement)
    assert ended.value.value.text == texts[2]
    assert [draft.text for draft in ended.value.value.drafts] == texts[:1]


def test_another_judge_is_another_run_of_the_same_samples(tmp_path: Path) -> None:
    def run(judge: str | None) -> cotkit.Comparison:
        return cotkit.compare(
            "simulated/3b", "best-of-n", Sums(n=30), limit="all", log_dir=tmp_path, judge=judge
        )

    own, better, itself = run(None), run("simulated/300b"), run("simulated/3b")
    assert own.run_id == itself.run_id != better.run_id, "the model's own name means itself"
    rates = [next(c.solve_rate for c in x.cells if c.arm == "best-of-n") for x in (own, better)]
    assert rates[1] > rates[0]
    with Store(tmp_path / "cotkit.db") as store:
        rows = {
            x.run_id: [r for r in store.attempts(x.run_id) if r.arm == "best-of-n"]
            for x in (own, better)
        }
        assert {row.n_calls for row in rows[own.run_id]} == {10}
        assert {row.n_calls for row in rows[better.run_id]} == {5}, "a judge's calls are its own"
        assert len({call.key for call in store.calls(better.run_id)}) < len(
            {call.key for call in store.calls(own.run_id)}
        )
    (note,) = [note for note in better.notes if note.startswith("judge ")]
    assert "simulated-300b: best-of-n asked it 150 times" in note
    assert not any(note.startswith("judge ") for note in own.notes)


def test_a_stored_run_keeps_its_judge(command: Cotkit, tmp_path: Path) -> None:
    first = command(*RUN, *BEST, "--judge", "simulated/100b", "--judge-budget-tokens", "200")
    assert first.code == 75, first.err
    run = first.err.partition("cotkit resume ")[2].split()[0]
    resumed = command("resume", run, "--display", "none")
    assert resumed.code == 0, resumed.err
    assert "judge simulated-100b: best-of-n:n=3 asked it 18 times" in " ".join(resumed.out.split())
    report = command("report", run, "--format", "markdown")
    assert "asked it 18 times" in report.out
    assert "changed since this run" not in report.out


def test_a_strangers_judge_is_consented_to_like_its_model() -> None:
    spec = RunSpec(model="simulated/3b", judge="openai-api/m:base_url=http://far.example/v1")
    assert required_options(spec) == ["--trust-address http://far.example/v1"]
    code = RunSpec(model="simulated/3b", judge="hf/a/b:trust_remote_code=true")
    assert required_options(code) == ["--trust-code"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--strategy", "cot", "--judge", "simulated/1b"), "no strategy of this run asks a judge"),
        ((*BEST, "--judge", "simulated/1b:foo=2"), "foo is no setting of its backend"),
        ((*BEST, "--judge", "no-such"), "unknown model 'no-such'"),
        ((*BEST, "--judge", "simulated/1b", "--budget-tokens", "9"), "--judge-budget-tokens, too"),
        ((*BEST, "--judge-budget-usd", "9"), "a budget of the judge, and no judge"),
        ((*BEST, "--judge", "simulated/1b", "--judge-budget-usd", "1"), "--judge-budget-usd"),
    ],
)
def test_what_no_judge_can_be_is_one_line(
    command: Cotkit, options: tuple[str, ...], words: str
) -> None:
    refused = command(*RUN, *options)
    assert refused.code == 2
    assert words in refused.err
    assert len(refused.err.splitlines()) == 1


def test_a_strategy_may_want_another_judge_than_its_model(tmp_path: Path) -> None:
    (tmp_path / "strict_judge.py").write_text(
        "from dataclasses import dataclass\n"
        "from typing import ClassVar\n"
        "from cotkit.strategies.best_of_n import BestOfN\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class StrictJudge(BestOfN):\n"
        "    needs_judge: ClassVar[bool] = True\n",
        encoding="utf-8",
    )
    strategy = f"{tmp_path}/strict_judge.py"
    with pytest.raises(UsageError, match="needs a judge other than the model itself"):
        cotkit.compare("simulated/3b", strategy, Sums(n=4))
    comparison = cotkit.compare("simulated/3b", strategy, Sums(n=4), judge="simulated/1b")
    assert any(note.startswith("judge simulated-1b") for note in comparison.notes)
