"""Who listens to a run: trackers that a plugin may bring, the events file, the log."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cotkit import cli
from cotkit.backends._hosted import policy
from tests.fake_api import Answer, FakeApi

QUICK = ("compare", "--model", "simulated/70b", "--limit", "5")


class Ended:
    def __init__(self, code: object, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def cotkit(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Cotkit]:
    yield Cotkit(capfd, monkeypatch)
    ours = logging.getLogger("cotkit")
    ours.handlers, ours.propagate = [], True
    ours.setLevel(logging.NOTSET)


class Cotkit:
    """The command line in this process, so that its trackers can be looked at."""

    def __init__(self, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capfd, self._monkeypatch = capfd, monkeypatch

    def __call__(self, *arguments: str) -> Ended:
        self._monkeypatch.setattr(sys, "argv", ["cotkit", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = self._capfd.readouterr()
        return Ended(ended.value.code or 0, said.out, said.err)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def names(path: Path) -> list[object]:
    return [line["event"] for line in lines(path)]


def test_the_events_file_tells_the_run(cotkit: Cotkit) -> None:
    done = cotkit(*QUICK, "--track", "jsonl:events.jsonl", "--format", "json")
    assert done.code == 0, done.err
    report, events = json.loads(done.out), lines(Path("events.jsonl"))
    assert names(Path("events.jsonl")) == [
        "run_started",
        *10 * ["attempt_done"],
        "run_ended",
        "gain_found",
    ]
    first, last, gain = events[0], events[-2], events[-1]
    assert first["run_id"] == last["run_id"] == gain["run_id"] == report["run_id"]
    assert (first["model"], first["bench"], first["arms"]) == (
        "simulated-70b",
        "gsm-mini",
        ["few-shot", "cot"],
    )
    attempts = [one for one in events if one["event"] == "attempt_done"]
    n_right = {c["arm"]: c["n_correct"] for c in report["arms"]}
    for arm, n in n_right.items():
        assert sum(one["arm"] == arm and one["outcome"] == "correct" for one in attempts) == n
    spent = sum(
        int(str(one[f"n_{kind}_tokens"])) for one in attempts for kind in ("prompt", "generated")
    )
    assert (last["n_generated"], last["n_tokens"]) == (10, spent)
    assert gain["gain"] == pytest.approx((n_right["cot"] - n_right["few-shot"]) / 5)
    assert all(str(one["time"]).endswith("+00:00") for one in events)


def test_a_second_run_goes_on_in_the_same_file_and_a_torn_line_stays_alone(cotkit: Cotkit) -> None:
    path = Path("events.jsonl")
    cotkit(*QUICK, "--track", "jsonl:events.jsonl")
    with path.open("a", encoding="utf-8") as file:
        file.write('{"event": "attempt_d')  # as a kill leaves it
    cotkit(*QUICK, "--track", "jsonl:events.jsonl")
    kept = path.read_text(encoding="utf-8").splitlines()
    assert kept.pop(13) == '{"event": "attempt_d'
    events = [json.loads(line) for line in kept]
    assert len(events) == 26
    assert [one["cached"] for one in events if one["event"] == "attempt_done"] == [
        *10 * [False],
        *10 * [True],
    ]
    assert events[-2]["n_generated"] == events[-2]["n_tokens"] == 0


def test_resume_and_scale_have_trackers_too(cotkit: Cotkit) -> None:
    cotkit(*QUICK)
    run = cotkit("list", "runs").out.splitlines()[1].split()[0]
    assert cotkit("resume", run, "--track", "jsonl:again.jsonl").code == 0
    assert names(Path("again.jsonl"))[-1] == "gain_found"
    models = "simulated/1b,simulated/70b"
    done = cotkit("scale", "--models", models, "--limit", "5", "--track", "jsonl:ladder.jsonl")
    assert done.code == 0, done.err
    titles = [one.get("title") for one in lines(Path("ladder.jsonl")) if "title" in one]
    assert titles[0] == "1 of 2, simulated-1b on gsm-mini"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("jsonl:no/such/events.jsonl", "cannot write no/such/events.jsonl: No such file"),
        ("jsonl:.", "cannot write .: Is a directory"),
        ("jsonl", "tracker jsonl needs path"),
        ("mlflaw", "mlflaw"),
        ("./half.py", "Half lacks record or close"),
    ],
)
def test_a_tracker_that_cannot_be_is_refused_before_anything_is_spent(
    spec: str, says: str, cotkit: Cotkit
) -> None:
    Path("half.py").write_text(
        "from dataclasses import dataclass\n@dataclass\nclass Half:\n"
        "    def record(self, event):\n        pass\n"
    )
    done = cotkit(*QUICK, "--track", spec)
    assert done.code == 2
    assert says in done.err
    assert done.err.count("\n") == 1
    assert not Path("logs").exists()


PLUGIN = """
from dataclasses import dataclass
from pathlib import Path

@dataclass
class Own:
    fails_at: str = ""

    def record(self, event):
        name = type(event).__name__
        with Path("heard").open("a") as file:
            file.write(name + " ")
        if name == self.fails_at:
            raise ConnectionError("the tracking server is gone")

    def close(self):
        with Path("heard").open("a") as file:
            file.write("closed ")
        if self.fails_at == "close":
            raise OSError("cannot finish")
"""


def test_a_tracker_of_the_users_own_hears_all_and_is_closed(cotkit: Cotkit) -> None:
    Path("own.py").write_text(PLUGIN)
    assert cotkit(*QUICK, "--track", "./own.py").code == 0
    heard = Path("heard").read_text().split()
    assert heard == ["RunStarted", *10 * ["AttemptDone"], "RunEnded", "GainFound", "closed"]


def test_a_tracker_that_raises_is_told_no_more_and_ends_nothing(cotkit: Cotkit) -> None:
    Path("own.py").write_text(PLUGIN)
    plain = cotkit(*QUICK, "--log-dir", "plain")
    done = cotkit(
        *(*QUICK, "--log-dir", "tracked"),
        *("--track", "./own.py:fails_at=AttemptDone", "--track", "jsonl:events.jsonl"),
    )
    assert (done.code, done.out) == (0, plain.out)
    assert done.err.count("the tracker ./own.py:fails_at=AttemptDone failed") == 1
    assert "ConnectionError: the tracking server is gone" in done.err
    assert Path("heard").read_text().split() == ["RunStarted", "AttemptDone"]
    assert names(Path("events.jsonl"))[-1] == "gain_found"  # the other one hears all


def test_a_tracker_that_cannot_finish_is_named(cotkit: Cotkit) -> None:
    Path("own.py").write_text(PLUGIN)
    done = cotkit(*QUICK, "--track", "./own.py:fails_at=close")
    assert done.code == 0
    assert "OSError: cannot finish" in done.err


@pytest.mark.parametrize("ends", [KeyboardInterrupt, ZeroDivisionError])
def test_trackers_are_closed_whatever_ends_the_run(
    ends: type[BaseException], cotkit: Cotkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("own.py").write_text(PLUGIN)

    def run_spec(*_: object, **__: object) -> None:
        raise ends

    monkeypatch.setattr("cotkit.workflows.compare.run_spec", run_spec)
    with contextlib.suppress(ZeroDivisionError):  # a bug keeps its traceback
        assert cotkit(*QUICK, "--track", "./own.py").code == 130
    assert Path("heard").read_text().split() == ["closed"]


def test_trackers_are_listed(cotkit: Cotkit) -> None:
    assert cotkit("list", "trackers").out.startswith("jsonl")


def test_the_log_says_as_much_as_asked(cotkit: Cotkit) -> None:
    assert " INFO " not in cotkit(*QUICK).err
    said = cotkit(*QUICK, "--log-level", "info").err
    assert " INFO cotkit.run: run " in said
    assert "cot over few-shot: " in said
    assert " DEBUG " not in said
    assert cotkit(*QUICK, "--log-level", "debug").err.count(" DEBUG cotkit.run: ") == 10
    assert "cotkit.run" not in cotkit(*QUICK, "--log-level", "error").err
    assert cotkit(*QUICK, "--log-level", "loud").code == 2


def test_the_log_says_what_is_tried_again(cotkit: Cotkit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "_FIRST_WAIT_S", 0.01)
    model = ("--model", "openai-api/mine/m", "--bench", "gsm-mini", "--limit", "2")
    with FakeApi() as api:
        api.script = lambda body, n_before: Answer() if n_before else Answer(status=429)
        monkeypatch.setenv("MINE_BASE_URL", f"{api.url}/v1")
        said = cotkit("compare", *model, "--log-level", "debug", "--display", "none").err
    assert said.count(" INFO cotkit.hosted: call ") == said.count(": 429 after ") == 4
    assert said.count(" DEBUG cotkit.hosted: call ") == said.count(": 200 after ") == 4
