"""The lab: what pocket models are trained on, and a training that survives whatever stops it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import cotkit
from cotkit.benchmarks.arithmetic import Arithmetic
from cotkit.cli import app
from cotkit.errors import CotkitError, InterruptedRunError, MissingDataError
from cotkit.labs import checkpoint, trainer
from cotkit.labs.pocket import recipe as pocket_recipe
from cotkit.labs.pocket import texts
from cotkit.labs.pocket.recipe import SIZES, PocketRecipe, parse_sizes
from cotkit.labs.pocket.texts import read_chains
from cotkit.labs.pocket.training import PocketJob
from cotkit.labs.trainer import Trainer, TrainingEnd, TrainingProgress
from cotkit.strategies.cot import Cot
from cotkit.strategies.few_shot import FewShot
from cotkit.strategies.standard import Standard
from cotkit.types import Exemplar, Problem, Request

RECIPE = PocketRecipe()


def spelt(problems: Sequence[Problem], *, reasoned: bool) -> list[str]:
    """Each problem with its answer, as the generator writes it."""
    chains = read_chains(list(problems), RECIPE)
    ids, _ = texts.encode(chains, np.full(len(problems), reasoned))
    return [pocket_recipe.text_of(row[row >= 0].tolist()) for row in ids]


def answered(problem: Problem) -> tuple[str, str]:
    """What should follow the prompts of few-shot and cot."""
    line = f" The answer is {problem.gold}.\n\n"
    return line, f" {problem.rationale}{line}"


@pytest.mark.parametrize("n_exemplars", [1, 2, 8])
@pytest.mark.parametrize("steps", [1, 2, 5, 8, "1-8"])
@pytest.mark.parametrize("operators", ["+", "-", "+-"])
def test_what_is_trained_on_is_byte_by_byte_what_strategies_render(
    steps: int | str, operators: str, n_exemplars: int
) -> None:
    bench = Arithmetic(steps=steps, digits=1, operators=operators, n=20)
    shown = bench.exemplar_pool()[:n_exemplars]
    exemplars = tuple(
        Exemplar(question=p.question.text, rationale=p.rationale or "", answer=p.gold)
        for p in shown
    )
    for problem in bench.problems():
        bare, worked = (spelt([*shown, problem], reasoned=r) for r in (False, True))
        line, rationale = answered(problem)
        header = pocket_recipe.HEADER
        few_shot = prompt_of(next(FewShot(exemplars=exemplars).solve(problem.question)))
        assert header + "".join(bare) == few_shot + line
        cot = prompt_of(next(Cot(exemplars=exemplars).solve(problem.question)))
        assert header + "".join(worked) == cot + rationale
        standard = prompt_of(next(Standard().solve(problem.question)))
        assert header + bare[-1] == standard + line.removeprefix(" The answer is")
        for prompt, text in ((few_shot, bare), (cot, worked), (standard, bare[-1:])):
            read = pocket_recipe.make_tokenizer()(prompt).input_ids
            whole = pocket_recipe.make_tokenizer()(header + "".join(text)).input_ids
            assert whole[: len(read)] == read  # no token reaches over the end of a prompt


def prompt_of(asked: object) -> str:
    assert isinstance(asked, Request)
    return asked.messages[0].content


def test_the_tokenizer_spells_every_training_text_and_nothing_else() -> None:
    tokenizer = pocket_recipe.make_tokenizer()
    for step in (0, 1, 7):
        for row in texts.make_batch(RECIPE, 1, step).ids[:8].tolist():
            text = pocket_recipe.text_of(row)
            assert tokenizer(text).input_ids == row
            assert tokenizer.decode(row) == text
    assert tokenizer("z7").input_ids == [pocket_recipe.ID["<unk>"], pocket_recipe.ID["7"]]
    seen = {
        i for step in range(8) for i in np.unique(texts.make_batch(RECIPE, 1, step).ids).tolist()
    }
    assert [pocket_recipe.PIECES[i] for i in range(len(pocket_recipe.PIECES)) if i not in seen] == [
        pocket_recipe.END,
        pocket_recipe.UNKNOWN,
    ]


def test_only_rationales_and_answers_are_learned_and_a_row_is_full() -> None:
    for step in (3, 7):
        made = texts.make_batch(RECIPE, 2, step)
        length = RECIPE.long_tokens if step == 7 else RECIPE.short_tokens
        assert made.ids.shape == (RECIPE.batch_tokens // length, length)
        for ids, learned in zip(made.ids.tolist(), made.learned.tolist(), strict=True):
            pieces = [pocket_recipe.PIECES[i] for i in ids]
            asking, expected = True, list[bool]()
            for piece in pieces:
                asking = asking or piece in {pocket_recipe.HEADER, pocket_recipe.START}
                expected.append(not asking)
                asking = (asking and piece != pocket_recipe.ASK) or piece == pocket_recipe.BLANK
            assert learned == expected
            assert pieces.count(pocket_recipe.HEADER) == 1


def test_every_answer_is_right_and_both_kinds_and_all_numbers_of_steps_occur() -> None:
    n_steps, kinds = set[int](), set[bool]()
    for step in range(8):
        for ids in texts.make_batch(RECIPE, 1, step).ids.tolist():
            whole = pocket_recipe.text_of(ids).removeprefix(pocket_recipe.HEADER)
            for text in whole.split("\n\n")[:-1]:
                question, _, answer = text.partition("\nA:")
                numbers = re.sub(
                    r"[^-+\d]", "", question.replace("add", "+").replace("subtract", "-")
                )
                value = sum(map(int, re.findall(r"[-+]?\d+", numbers)))
                assert answer.endswith(f" The answer is {value}.")
                for left, sign, right, result in re.findall(
                    r"(-?\d+) ([-+]) (\d+) = (-?\d+)\.", answer
                ):
                    assert int(left) + int(sign + right) == int(result)
                n_steps.add(question.count("add") + question.count("subtract"))
                kinds.add("=" in answer)
    assert n_steps == set(range(1, 9))
    assert kinds == {False, True}


CONVERSATION = re.compile(
    r"(?P<header>Answer [^<]*<number>\.\n\n)(?P<exemplars>(?:Q: .*\nA: .*\n\n)*)"
    r"Q: (?P<question>.*)\nA:(?P<cue> The answer is)?<end><assistant>"
    r"<think>(?P<thought>[\s\S]*?)</think>\n\n(?P<chain>.*?)"
    r"(?P<line> The answer is )?(?P<answer>-?\d+)\.<end><user>"
)


def test_conversations_are_as_the_template_renders_them_and_their_thoughts_are_right() -> None:
    recipe = pocket_recipe.THINKER_RECIPE
    tokenizer = pocket_recipe.make_tokenizer(recipe.pieces)
    kinds = set[str]()
    for step in (0, recipe.long_every - 1):
        for ids in texts.make_batch(recipe, 1, step).ids.tolist():
            for found in CONVERSATION.finditer(pocket_recipe.text_of(ids)):
                prompt = found[0].partition("<end><assistant>")[0]
                rendered = tokenizer.apply_chat_template(
                    [{"role": "user", "content": prompt}],
                    tokenize=False,
                    add_generation_prompt=True,
                    enable_thinking=found["thought"] != "\n\n",
                )
                assert isinstance(rendered, str)
                assert found[0].startswith(rendered.removeprefix("<user>"))
                assert bool(found["cue"]) == (not found["exemplars"]) == (not found["line"])
                signed = found["question"].replace("subtract ", "-").replace("add ", "")
                terms = list(map(int, re.findall(r"-?\d+", signed)))
                assert int(found["answer"]) == sum(terms)
                steps = re.findall(r"(-?\d+) ([-+]) (\d+) = (-?\d+)\.", found["thought"])
                for left, sign, right, result in steps:
                    assert int(left) + int(sign + right) == int(result) in np.cumsum(terms)
                full = len({result for *_, result in steps}) and steps[-1][3] == found["answer"]
                kinds.add(
                    "off" if found["thought"] == "\n\n" else "full" if full else "cut or habit"
                )
                kinds |= {f"{found['thought'].count('Wait')} waits"}
                kinds |= {"visible chain"} if found["chain"] else set()
    assert kinds >= {"off", "full", "cut or habit", "0 waits", "1 waits", "2 waits"}
    assert "visible chain" in kinds


def test_of_a_conversation_what_the_model_writes_by_itself_is_learned() -> None:
    recipe = pocket_recipe.THINKER_RECIPE
    batch = texts.make_batch(recipe, 1, 0)
    pieces = recipe.pieces
    for ids, learned in zip(batch.ids.tolist(), batch.learned.tolist(), strict=True):
        writes, kept = False, list[str]()
        for token, is_learned in zip(ids, learned, strict=True):
            piece = pieces[token]
            writes = (writes or piece == pocket_recipe.THINK) and piece != pocket_recipe.USER
            assert writes or not is_learned
            assert piece not in {pocket_recipe.WAIT, pocket_recipe.USER} or not is_learned
            kept += [piece] if is_learned else []
        assert pocket_recipe.END in kept


def test_problems_of_the_benchmark_are_never_trained_on() -> None:
    recipe = replace(RECIPE, max_steps=3, batch_tokens=65_536)  # three steps: repeats are likely
    held_out = {
        problem.question.text
        for operators in ("+", "-", "+-")
        for seed in (0, 1, 2)
        for bench in [Arithmetic(steps=3, digits=1, operators=operators, seed=seed)]
        for problem in (*bench.problems(), *bench.exemplar_pool())
    }
    assert not held_out & asked(recipe)
    careless = replace(recipe, held_out_seeds=(7,), held_out_n=1)
    assert len(held_out & asked(careless)) > 20  # the test can fail


def asked(recipe: PocketRecipe) -> set[str]:
    found = set[str]()
    for step in range(6):
        for ids in texts.make_batch(recipe, 1, step).ids.tolist():
            text = pocket_recipe.text_of(ids)
            found.update(re.findall(r"Q: (Start with .*?\?)\nA:", text))
    return found


def test_a_batch_is_a_function_of_recipe_seed_and_step() -> None:
    first = texts.make_batch(RECIPE, 1, 5)
    assert np.array_equal(first.ids, texts.make_batch(RECIPE, 1, 5).ids)
    for other in (texts.make_batch(RECIPE, 2, 5), texts.make_batch(RECIPE, 1, 6)):
        assert not np.array_equal(first.ids, other.ids)


def test_sizes_are_evenly_spaced_and_count_their_parameters() -> None:
    counts = [size.n_params for size in SIZES]
    assert len(counts) >= 8
    assert counts[0] < 4_000
    assert counts[-1] > 950_000
    for low, high in pairwise(counts):
        assert 1.85 < high / low < 2.4
    for size in SIZES:
        network = PocketJob(recipe=RECIPE, size=size, seed=1, out=Path()).make_network()
        assert network.num_parameters() == size.n_params


def test_fingerprints_differ_by_all_that_makes_a_model() -> None:
    first = job(Path())
    jobs = [
        first,
        replace(first, seed=2),
        replace(first, size=SIZES[1]),
        replace(first, recipe=replace(RECIPE, n_steps=10)),
        replace(first, recipe=replace(RECIPE, peak_rate=0.001)),
    ]
    assert len({each.fingerprint for each in jobs}) == 5


def lab(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["lab", "train", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


TINY = ["pocket", "--sizes", "smallest,next", "--steps", "10", "--device", "cpu"]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken")
    said = lab(*TINY, "--out", str(out))
    assert "FLOPs" in said.splitlines()[0]
    assert "pocket-6k-seed1: step 10 of 10" in said
    return out


@pytest.mark.full
def test_killed_and_resumed_the_weights_are_the_same_bytes(tmp_path: Path, unbroken: Path) -> None:
    arguments = [*TINY, "--save-every", "3", "--out", str(tmp_path)]
    process = subprocess.Popen([sys.executable, "-m", "cotkit", "lab", "train", *arguments])
    state = tmp_path / "pocket-6k-seed1" / "checkpoint.pt"
    deadline = time.monotonic() + 120
    while not state.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert not (state.parent / "model.safetensors").exists()  # it was killed in the middle
    lab(*arguments)
    for name in ("pocket-3k-seed1", "pocket-6k-seed1"):
        for file in ("model.safetensors", "loss.csv", "config.json", "recipe.json"):
            assert (tmp_path / name / file).read_bytes() == (unbroken / name / file).read_bytes()
    events = [json.loads(line)["event"] for line in (state.parent / "log.jsonl").open()]
    assert events == ["begun", "resumed", "trained"]
    assert not state.exists()
    again = lab(*arguments)
    assert "pocket-6k-seed1: was there" in again
    assert "FLOPs" not in again  # nothing is left to estimate


def job(out: Path, n_steps: int = 20) -> PocketJob:
    recipe = replace(RECIPE, n_steps=n_steps, batch_tokens=2048, long_tokens=1024)
    return PocketJob(recipe=recipe, size=SIZES[0], seed=3, out=out)


def train(
    job: PocketJob, *, save_every: int = 1000, report: Callable[[TrainingProgress], None] = print
) -> TrainingEnd:
    accelerator = trainer.make_accelerator("cpu")
    return Trainer(accelerator=accelerator, save_every=save_every, report=report).train(job)


def test_ctrl_c_keeps_what_was_trained(tmp_path: Path) -> None:
    def press(at: TrainingProgress) -> None:
        if at.step == 10:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(InterruptedRunError, match=r"stopped at step 10 of 20 \(the same command"):
        train(job(tmp_path), report=press)
    state = checkpoint.load_checkpoint(job(tmp_path).folder)
    assert state is not None
    assert len(state["losses"]) == 10
    steps: list[int] = []
    end = train(job(tmp_path), report=lambda progress: steps.append(progress.step))
    assert (end, steps) == ("trained", [20])


def test_a_training_that_diverges_says_so_and_keeps_its_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_loss = PocketJob.compute_loss

    def diverging(self: PocketJob, network: torch.nn.Module, step: int) -> torch.Tensor:
        return true_loss(self, network, step) * (1 if step < 5 else float("nan"))

    monkeypatch.setattr(PocketJob, "compute_loss", diverging)
    with pytest.raises(CotkitError, match="pocket-3k-seed3: the loss of step 5 is nan"):
        train(job(tmp_path), save_every=2)
    state = checkpoint.load_checkpoint(job(tmp_path).folder)
    assert state is not None
    assert len(state["losses"]) == 4


def test_two_processes_never_train_one_model(tmp_path: Path) -> None:
    with checkpoint.claim_folder(job(tmp_path).folder) as is_ours:
        assert is_ours
        end = train(job(tmp_path))
    assert end == "another process is at it"
    assert not (job(tmp_path).folder / "loss.csv").exists()


def test_a_model_that_does_not_fit_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hardly_any(_device: torch.device) -> int:
        return 100_000_000

    def no_memory(*_: object) -> object:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 TB")

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "_free_bytes", hardly_any)
        with pytest.raises(CotkitError, match=r"needs about .* GB of memory, 0\.1 GB are free"):
            train(job(tmp_path))
    monkeypatch.setattr(PocketJob, "make_network", no_memory)
    with pytest.raises(CotkitError, match="pocket-3k-seed3: memory ran out"):
        train(job(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pokcet"], "unknown family to train 'pokcet' (did you mean pocket?)"),
        (["pocket", "--sizes", "3k,58k"], "unknown size of pocket '58k' (did you mean 57k"),
        (["pocket", "--sizes", ""], "unknown size of pocket ''"),
        (["pocket", "--seeds", "1,x"], "--seeds '1,x' are no seeds"),
        (["pocket", "--steps", "0"], "--steps 0 trains nothing"),
        (["pocket", "--save-every", "0"], "--save-every 0 saves nothing"),
        (["pocket", "--device", "cuda:99"], "device cuda:99 is not there (here: "),
        (["pocket", "--device", "toaster"], "device toaster is not there (here: "),
    ],
)
def test_a_wrong_word_is_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["lab", "train", *arguments, "--out", str(tmp_path)])
    assert isinstance(done.exception, CotkitError)
    assert str(done.exception).startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_another_recipe_is_refused_and_left_alone(unbroken: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in unbroken.rglob("*")}
    arguments = ["lab", "train", "pocket", "--sizes", "3k", "--device", "cpu"]
    done = CliRunner().invoke(app, [*arguments, "--steps", "11", "--out", str(unbroken)])
    assert "holds a model of another recipe (" in str(done.exception)
    assert {path: path.stat().st_mtime_ns for path in unbroken.rglob("*")} == before


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("recipe.json", "{", "recipe.json: is no recipe of cotkit"),
        ("recipe.json", "[]", "recipe.json: is no recipe of cotkit"),
        ("model.safetensors", "", "holds a model of no known recipe"),
        ("checkpoint.pt", "half a", "checkpoint.pt: is not a checkpoint (remove it"),
        ("checkpoint.pt", "", "checkpoint.pt: is not a checkpoint (remove it"),
    ],
)
def test_a_broken_folder_is_said_in_one_line(
    file: str, content: str, message: str, tmp_path: Path
) -> None:
    folder = job(tmp_path).folder
    folder.mkdir(parents=True)
    (folder / file).write_text(content)
    with pytest.raises(CotkitError) as refused:
        train(job(tmp_path))
    assert message in str(refused.value)


def test_a_trained_folder_is_an_ordinary_model(unbroken: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app,
        [
            *(
                "compare",
                "--model",
                str(unbroken / "pocket-3k-seed1"),
                "--strategy",
                "cot:max_tokens=40",
            ),
            *("--bench", "arithmetic:digits=1,operators=+-", "--exemplars", "builtin:8"),
            *("--limit", "2", "--format", "json", "--log-dir", str(tmp_path)),
        ],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert str(SIZES[0].n_params) in json.dumps(found)


def test_the_shipped_family_solves_what_nothing_of_it_could_guess(tmp_path: Path) -> None:
    """Four steps, problems that it was never trained on."""
    bench = "arithmetic:digits=1,operators=+-,steps=4"
    small, large = (
        cotkit.compare(name, "cot", bench, limit=20, log_dir=tmp_path)
        for name in ("pocket-3k", "pocket-57k")
    )
    assert {cell.arm: cell.solve_rate < 0.3 for cell in small.cells}["cot"]
    assert {cell.arm: cell.solve_rate > 0.9 for cell in large.cells}["cot"]
    assert large.verdicts[0].gain.label == "helps"


def test_packed_weights_are_the_trained_ones_in_half_precision(
    unbroken: Path, tmp_path: Path
) -> None:
    given = ["--from", str(unbroken), "--out", str(tmp_path), "--sizes", "3k"]
    done = CliRunner().invoke(app, ["lab", "pack", "pocket", *given])
    assert done.exit_code == 0, done.output
    before = load_file(unbroken / "pocket-3k-seed1" / "model.safetensors")
    after = load_file(tmp_path / "pocket-3k" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], before[name].half()) for name in before)


def test_packing_names_the_model_that_was_not_trained(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["lab", "pack", "pocket", "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, MissingDataError)
    assert "cotkit lab train pocket --sizes 3k --seeds 1" in str(done.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("smallest,next", ["3k", "6k"]),
        ("57k, 3K", ["3k", "57k"]),
        ("all", [size.name for size in SIZES]),
    ],
)
def test_sizes_by_name(wanted: str, names: list[str]) -> None:
    assert [size.name for size in parse_sizes(wanted)] == names
