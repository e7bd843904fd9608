"""The labs: trained for a few steps, judged on planted curves, refused in one line."""

from __future__ import annotations

import itertools
import json
import re
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from cotkit.api import compare
from cotkit.benchmarks.sentiment_mini import SentimentMini
from cotkit.cli import app
from cotkit.errors import CotkitError, InterruptedRunError, UsageError
from cotkit.labs import checkpoint
from cotkit.labs import icl as icl_lab
from cotkit.labs import mirage as mirage_lab
from cotkit.labs.flipped import judge_flipped
from cotkit.labs.icl import IclTransformer, predict_by_lasso, predict_by_least_squares
from cotkit.labs.icl_judge import IclCondition, PredictionErrors, judge_icl
from cotkit.labs.mirage import ImageTransformer, load_images, make_lenet
from cotkit.labs.mirage_judge import FamilyResults, judge_mirage, subset_accuracy
from cotkit.labs.report import LabReport, render_lab
from cotkit.labs.trainer import (
    Schedule,
    Trainer,
    TrainingJob,
    TrainingProgress,
    count_params,
    make_accelerator,
)
from tests.tiny_model import build_tiny_model

CPU = ["--device", "cpu"]


def lab(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["lab", *arguments])


# Training


Loss = Callable[[torch.nn.Module, int], torch.Tensor]


def quadratic(network: torch.nn.Module, step: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(step)
    return (network(torch.randn(8, 3, generator=generator)) - 1).square().mean()


@dataclass(frozen=True, slots=True, kw_only=True)
class LineJob(TrainingJob):
    """The smallest lab: one line."""

    seed: int = 1
    n_steps: int = 25
    n_inputs: int = 3
    loss: Loss = quadratic

    @property
    def name(self) -> str:
        return "line"

    @property
    def schedule(self) -> Schedule:
        return Schedule(n_steps=self.n_steps, peak_rate=0.01)

    @property
    def settings(self) -> Mapping[str, object]:
        return {"seed": self.seed}

    def make_network(self) -> torch.nn.Module:
        torch.manual_seed(self.seed)
        return torch.nn.Linear(self.n_inputs, 1)

    def compute_loss(self, network: torch.nn.Module, step: int) -> torch.Tensor:
        return self.loss(network, step)


def silent(at: TrainingProgress) -> None:
    pass


def trainer(report: Callable[[TrainingProgress], None] = silent) -> Trainer:
    return Trainer(accelerator=make_accelerator("cpu"), save_every=7, report=report)


def weights(out: Path) -> bytes:
    return checkpoint.weights_of(LineJob(out=out).folder).read_bytes()


def test_stopped_and_resumed_the_weights_are_the_same_bytes(tmp_path: Path) -> None:
    trainer().fit(LineJob(out=tmp_path / "whole"))

    def press(at: TrainingProgress) -> None:
        if at.step == 10:
            signal.raise_signal(signal.SIGINT)

    broken = tmp_path / "broken"
    with pytest.raises(InterruptedRunError, match=r"line stopped at step 10 of 25 \(the same com"):
        trainer(press).fit(LineJob(out=broken))
    assert not checkpoint.is_done(LineJob(out=broken).folder)
    steps: list[int] = []
    trainer(lambda at: steps.append(at.step)).fit(LineJob(out=broken))
    assert steps == [20, 25]
    assert weights(broken) == weights(tmp_path / "whole")
    assert not (LineJob(out=broken).folder / "checkpoint.pt").exists()


def test_a_killed_training_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    def die(network: torch.nn.Module, step: int) -> torch.Tensor:
        if step == 16:
            raise MemoryError  # as with a kill, nothing is saved on the way out
        return quadratic(network, step)

    with pytest.raises(CotkitError, match="line: memory ran out"):
        trainer().fit(LineJob(out=tmp_path, loss=die))
    seen: list[int] = []

    def noted(made: torch.nn.Module, step: int) -> torch.Tensor:
        seen.append(step)
        return quadratic(made, step)

    trainer().fit(LineJob(out=tmp_path, loss=noted))
    assert seen == list(range(14, 25))
    trainer().fit(LineJob(out=tmp_path / "whole"))
    assert weights(tmp_path) == weights(tmp_path / "whole")


def test_what_was_trained_is_loaded_and_never_trained_again(tmp_path: Path) -> None:
    first = trainer().fit(LineJob(out=tmp_path))

    def never(made: torch.nn.Module, step: int) -> torch.Tensor:
        raise AssertionError

    again = trainer().fit(LineJob(out=tmp_path, loss=never))
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(UsageError, match="holds a model of another recipe"):
        trainer().fit(LineJob(out=tmp_path, n_steps=26))
    with pytest.raises(UsageError, match="holds other weights"):
        trainer().fit(LineJob(out=tmp_path, n_inputs=4))


def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
    with pytest.raises(CotkitError, match="line: the loss of step 0 is nan"):
        trainer().fit(
            LineJob(out=tmp_path, loss=lambda net, step: quadratic(net, step) * torch.nan)
        )


# Images


def test_digits_are_halved_without_a_shared_image(tmp_path: Path) -> None:
    found = load_images("digits", tmp_path)
    assert (found.train.shape, found.test.shape) == ((899, 8, 8), (898, 8, 8))
    assert found.n_classes == 10
    assert 0 <= found.train.min() < found.train.max() == 1
    assert set(found.test_labels.tolist()) == set(range(10))


class _Fetched:
    """What torchvision would give."""

    def __init__(self, root: str, *, download: bool) -> None:
        assert download

    def __len__(self) -> int:
        return 6

    def __getitem__(self, i: int) -> tuple[Image.Image, int]:
        return Image.new("RGB", (40, 40), (255, 255, 255)), i % 2


class _Unreachable:
    def __init__(self, root: str, *, download: bool) -> None:
        raise OSError("no route to host")


@pytest.mark.parametrize(("name", "side"), [("mnist", 28), ("omniglot", 28), ("cifar100", 32)])
def test_fetched_images_are_grey_and_of_one_size(
    name: str, side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = SimpleNamespace(MNIST=_Fetched, Omniglot=_Fetched, CIFAR100=_Fetched)
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(datasets=sets))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", sets)
    found = load_images(name, tmp_path)
    assert found.train.shape == (3, side, side)
    assert found.train.min() == 1


def test_images_that_cannot_be_had_say_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(CotkitError, match=r"torchvision is not installed \(run: pip install 'cot"):
        load_images("mnist", tmp_path)
    sets = SimpleNamespace(MNIST=_Unreachable, Omniglot=_Unreachable, CIFAR100=_Unreachable)
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(datasets=sets))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", sets)
    with pytest.raises(CotkitError, match=r"mnist cannot be fetched \(OSError\) \(--data digits"):
        load_images("mnist", tmp_path)


# Mirage


@pytest.mark.parametrize(("n", "n_right", "k"), [(6, 4, 3), (5, 5, 5), (5, 2, 3), (7, 3, 1)])
def test_subset_accuracy_is_that_of_all_subsets(n: int, n_right: int, k: int) -> None:
    right = [True] * n_right + [False] * (n - n_right)
    subsets = list(itertools.combinations(right, k))
    expected = sum(map(all, subsets)) / len(subsets)
    assert subset_accuracy(np.asarray(float(n_right)), n, k) == pytest.approx(expected)


def planted(rates: list[float]) -> LabReport:
    rng = np.random.default_rng(0)
    right = (rng.random((len(rates), 1, 600)) < np.asarray(rates)[:, None, None]).astype(float)
    sizes = tuple(100 * 2**i for i in range(len(rates)))
    one = FamilyResults(name="LeNet", data="digits", sizes=sizes, metrics={}, right=right)
    return judge_mirage([one], n_seeds=1, seed=0)


@pytest.mark.parametrize(
    ("rates", "word", "words"),
    [
        ([0.12, 0.24, 0.36, 0.48, 0.6, 0.72, 0.84, 0.97], "no_jump", "does not jump"),
        ([0.1, 0.1, 0.1, 0.1, 0.95, 0.95, 0.95, 0.95], "real_jump", "the jump is real"),
        ([0.4] * 8, "undetermined", "inside noise"),
        ([0.1, 0.5, 0.97], "undetermined", "3 sizes cannot tell a jump from a line"),
    ],
)
def test_planted_curves_get_their_verdict(rates: list[float], word: str, words: str) -> None:
    found = planted(rates)
    assert found.findings[0].verdict.raw == word
    assert words in found.answers[0]


def test_wider_networks_are_larger_and_a_transformer_cannot_look_ahead() -> None:
    sizes = [count_params(make_lenet(width, 8, 10)) for width in (1, 2, 4, 8)]
    assert sizes == sorted(set(sizes))
    torch.manual_seed(0)
    made = ImageTransformer(16, 8, 10).eval()
    shown, named = torch.rand(2, 5, 8, 8), torch.randint(0, 10, (2, 5))
    said = made(shown, named)
    later_shown, later_named = shown.clone(), named.clone()
    later_shown[:, 3:], later_named[:, 2:] = 0, 1  # an image's own label comes after it
    assert torch.allclose(said[:, :3], made(later_shown, later_named)[:, :3], atol=1e-6)
    assert not torch.allclose(said[:, 3:], made(later_shown, later_named)[:, 3:], atol=1e-3)


def test_mirage_ends_in_a_report_and_trains_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = mirage_lab.PRESETS["cpu"]
    families = tuple(replace(one, widths=one.widths[::2]) for one in preset.families)
    small = replace(preset, n_seeds=1, families=families)
    monkeypatch.setattr(mirage_lab, "PRESETS", {"cpu": small})
    arguments = ["mirage", "--steps", "2", "--out", str(tmp_path), *CPU]
    done = lab(*arguments)
    assert done.exit_code == 0, done.output
    assert "lenet-24-seed0: step 2 of 2" in done.stderr
    for name in ("LeNet, 116 to 30,154", "Autoencoder, 193 to 8,320", "Transformer, 1,438 to"):
        assert name in " ".join(done.stdout.split())
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["schema"] == "cotkit.lab/1"
    words = {one["verdict"] for one in found["findings"]}
    assert words <= {"real_jump", "metric_artefact", "undetermined"}
    assert len(found["lenet"]) == 5
    assert {"accuracy", "subset accuracy K=5"} <= found["lenet"][0].keys()
    page = (tmp_path / "report.html").read_text()
    assert page.count("<figure") == 3
    assert not re.search(r"(?:src|href)=\"(?!#)", page)
    again = lab(*arguments)
    assert "step" not in again.stderr
    assert again.stdout == done.stdout
    other = lab("mirage", "--steps", "3", "--out", str(tmp_path), *CPU)
    assert "holds a model of another recipe (" in str(other.exception)


# In-context learning


RECIPE = icl_lab.PRESETS["cpu"]


def drawn(name: str, n: int = 4000) -> tuple[icl_lab.Floats, icl_lab.Floats]:
    rng = np.random.default_rng(3)
    x = icl_lab.draw_points(RECIPE, n, rng)
    return x, icl_lab.functions_of_class(RECIPE, name)(x, rng)


@pytest.mark.parametrize("name", ["dense", "sparse", "sine"])
def test_every_class_has_variance_one(name: str) -> None:
    assert drawn(name)[1].var() == pytest.approx(1, abs=0.06)


def test_a_combination_has_variance_one_and_a_prompt_one_function() -> None:
    rng = np.random.default_rng(0)
    x = icl_lab.draw_points(RECIPE, 4000, rng)
    both = icl_lab.combine_functions(
        icl_lab.linear_functions(3), icl_lab.sine_functions(0.5, 2), 0.3
    )(x, rng)
    assert both.var() == pytest.approx(1, abs=0.06)
    x, y = drawn("sparse", 50)
    fitted = np.linalg.lstsq(x[0], y[0])[0]
    assert (abs(fitted) > 1e-9).sum() == RECIPE.n_nonzero


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    first, again, other = (icl_lab.make_batch(RECIPE, ("dense", "sine"), 1, s) for s in (4, 4, 5))
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])


def test_least_squares_is_exact_from_as_many_exemplars_as_dimensions() -> None:
    x, y = drawn("dense", 30)
    said = predict_by_least_squares(x, y)
    assert np.allclose(said[:, RECIPE.dims :], y[:, RECIPE.dims :])
    assert not said[:, 0].any()
    assert np.square(said - y)[:, 1].mean() > 0.2


def test_the_lasso_needs_fewer_exemplars_of_a_sparse_function() -> None:
    x, y = drawn("sparse", 60)
    by_lasso, by_squares = (
        np.square(predict(x, y) - y) for predict in (predict_by_lasso, predict_by_least_squares)
    )
    assert by_lasso[:, 2].mean() < by_squares[:, 2].mean()


def test_a_reader_cannot_see_the_output_that_it_predicts() -> None:
    torch.manual_seed(0)
    made = IclTransformer(RECIPE).eval()
    x, y = torch.randn(2, RECIPE.n_points, RECIPE.dims), torch.randn(2, RECIPE.n_points)
    changed = y.clone()
    changed[:, 4:] += 1
    before, after = made(x, y), made(x, changed)
    assert torch.allclose(before[:, :5], after[:, :5], atol=1e-6)
    assert not torch.allclose(before[:, 5:], after[:, 5:], atol=1e-3)


def planted_errors(
    *, mixed: float, away: float, alone: float = 0.05, worst: float | None = None
) -> LabReport:
    """Errors of the networks on what they know, of mixtures, and of mixtures off what they saw."""
    rng = np.random.default_rng(1)

    def squares(mean: float) -> icl_lab.Floats:
        return mean * rng.chisquare(1, (250, 8))

    def errors(condition: IclCondition) -> PredictionErrors:
        mean = mixed if condition.is_seen else away
        mean = mean if worst is None or condition.x != 2 else worst
        singles = {name: squares(alone) for name in ("dense", "sparse", "sine")}
        mixtures = {name: squares(mean) for name in ("dense+sparse", "dense+sine")}
        return PredictionErrors(
            condition=condition,
            squares={**singles, **mixtures, "least squares": squares(0.1), "Lasso": squares(0.1)},
        )

    seen = [("seen", name, 0.0, True) for name in ("dense", "sparse", "sine")]
    between = [
        (kind, str(x), x, x == 1)
        for kind in ("convex", "sparsity", "frequency")
        for x in (0.5, 1, 2)
    ]
    return judge_icl(
        [
            errors(IclCondition(kind=kind, name=name, x=x, is_seen=is_seen))  # pyright: ignore[reportArgumentType] - literals
            for kind, name, x, is_seen in [*seen, *between]
        ],
        n_steps=1,
        dims=3,
        seed=0,
    )


@pytest.mark.parametrize(
    ("mixed", "away", "alone", "selection", "beyond"),
    [
        (0.06, 0.9, 0.05, "selects", "fails"),
        (0.06, 0.07, 0.05, "selects", "holds"),
        (0.3, 0.3, 0.05, "fails", "holds"),
        (1.0, 1.0, 1.0, "not_learned", "not_learned"),
    ],
)
def test_planted_errors_get_their_verdict(
    mixed: float, away: float, alone: float, selection: str, beyond: str
) -> None:
    found = planted_errors(mixed=mixed, away=away, alone=alone)
    words = {one.what: one.verdict.raw for one in found.findings}
    assert words.pop("dense+sparse on dense") == selection
    assert words.pop("dense+sine on sine") == selection
    assert words["dense+sine on higher frequencies"] == beyond
    assert words["dense+sparse on intermediate sparsity"] == beyond
    assert len(found.answers) == 2
    assert "| " in render_lab(found, "markdown")


def test_the_worst_mixture_decides_and_not_the_mean() -> None:
    found = planted_errors(mixed=0.06, away=0.07, worst=0.9)
    convex = next(one for one in found.findings if one.what == "dense+sine on convex combinations")
    assert convex.verdict.raw == "fails"
    assert convex.value > 0.7
    assert convex.why.startswith("worst of 2, at 2: ")
    assert convex.interval.level > 0.95, "of all tests together"


def test_more_dimensions_have_more_sparsities() -> None:
    recipe = icl_lab.find_recipe("cpu", dims=6)
    assert (recipe.dims, recipe.n_points) == (6, 19)
    tests = icl_lab._make_conditions(recipe)  # pyright: ignore[reportPrivateUsage]
    between = [one.name for one, _ in tests if one.kind == "sparsity" and not one.is_seen]
    assert between == ["2 of 6", "3 of 6", "4 of 6", "5 of 6"]
    assert icl_lab.find_recipe("paper").n_points == 64
    with pytest.raises(UsageError, match="no sparsity lies between 2 of 3 weights"):
        icl_lab.find_recipe("cpu", dims=3, n_nonzero=2)


def test_icl_ends_in_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(icl_lab, "PRESETS", {"cpu": replace(RECIPE, n_prompts=20)})
    done = lab("icl", "--steps", "2", "--out", str(tmp_path), *CPU)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["lab"] == "icl"
    assert {one["verdict"] for one in found["findings"]} == {"not_learned"}
    first = found["seen-dense"][RECIPE.dims]
    assert first["least squares"] < 1e-9
    assert (tmp_path / "report.html").read_text().count("<figure") == 6


# Flipped labels


GOLD = {problem.question.text: problem.gold for problem in SentimentMini().problems()}


def follower(prompt: str) -> str:
    """Knows the reviews, and does as most of the exemplars do."""
    shown, asked = prompt.rsplit("Input:", 1)
    truth = {p.question.text: p.gold for p in SentimentMini().exemplar_pool()}
    pairs = re.findall(r"Input: (.*?)\nOutput: (\w+)", shown, re.DOTALL)
    n_flipped = sum(truth.get(text.strip(), label) != label for text, label in pairs)
    gold = next(gold for text, gold in GOLD.items() if text in asked)
    other = "negative" if gold == "positive" else "positive"
    return f" {other if 2 * n_flipped > len(pairs) else gold}"


def stubborn(prompt: str) -> str:
    """Knows the reviews, whatever is shown."""
    return f" {next(gold for text, gold in GOLD.items() if text in prompt.rsplit('Input:', 1)[1])}"


def test_who_follows_and_who_does_not_is_said(tmp_path: Path) -> None:
    found = judge_flipped(
        [
            compare(
                model,
                ["flipped-labels:fraction=0,1", "unrelated-labels"],
                "sentiment-mini",
                limit=30,
                model_id=model.__name__,
                log_dir=tmp_path / model.__name__,
            )
            for model in (stubborn, follower)
        ]
    )
    assert [one.verdict.raw for one in found.findings] == ["keeps_prior", "follows"]
    assert "fall from 0 to 100 % flipped, in points: " in found.answers[0]
    assert [plot.key for plot in found.plots] == ["fraction", "fall-size"]
    assert found.plots[1].lines[0].y == (0.0, 1.0)
    assert found.plots[0].lines[1].y == (1.0, 0.0)
    assert "not shown to be by the others" in found.answers[0]
    assert "keeps to the true labels" in found.answers[0]


def test_flipped_runs_a_ladder_of_real_models(tmp_path: Path) -> None:
    models = [build_tiny_model(tmp_path / kind, kind) for kind in ("llama", "gemma3")]
    arguments = ["flipped", "--models", ",".join(map(str, models)), "--fractions", "0,1"]
    done = lab(*arguments, "--limit", "4", "--out", str(tmp_path / "out"), *CPU)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert len(found["findings"]) == 2
    assert [row["labels_flipped"] for row in found["fraction"]] == [0, 1]
    assert len(found["size"]) == 2
    assert any(key.startswith("unrelated-labels") for key in found["size"][0])
    assert (tmp_path / "out" / "report.html").read_text().count("<figure") == 3


def test_flipped_sweeps_exemplars_and_draws_them_again(tmp_path: Path) -> None:
    models = "simulated/300b,simulated/100m"
    arguments = ["flipped", "--models", models, "--fractions", "0,1", "--k", "2,4", "--limit", "30"]
    draws = ["--sets", "foo-bar,letters", "--exemplar-seeds", "0,1"]
    done = lab(*arguments, *draws, "--out", str(tmp_path))
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["n_draws"] == 2
    assert [row["parameters"] for row in found["fall-size"]] == [10**8, 3 * 10**11]
    assert found["fall-size"][1]["k = 4"] > 0.5
    assert [row["k"] for row in found["fall-shots"]] == [2, 4]
    assert {row["verdict"] for row in found["findings"]} == {"keeps_prior", "follows"}
    assert not any("ceiling" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mirage", "--preset", "papper"], "unknown preset 'papper' (did you mean paper?)"),
        (
            ["mirage", "--only", "lenett"],
            "unknown family of the lab 'lenett' (did you mean lenet?)",
        ),
        (
            ["mirage", "--data", "mnits"],
            "unknown data set of the lab 'mnits' (did you mean mnist",
        ),
        (["mirage", "--steps", "0"], "--steps 0 trains nothing"),
        (["mirage", "--save-every", "0"], "--save-every 0 saves nothing"),
        (["mirage", "--device", "cuda:99"], "device cuda:99 is not there (here: "),
        (["icl", "--preset", "gpu"], "unknown preset 'gpu'"),
        (["icl", "--steps", "-1"], "--steps -1 trains nothing"),
        (["icl", "--device", "toaster"], "device toaster is not there (here: "),
        (["flipped", "--preset", "x"], "unknown preset 'x'"),
        (["flipped", "--models", ","], "--models ',' names no model"),
        (["flipped", "--models", "a,a"], "--models 'a,a' names a model twice"),
        (["flipped", "--fractions", "0,0.5"], "--fractions 0,0.5 lacks 1"),
        (["flipped", "--fractions", "0.5,1"], "--fractions 0.5,1 lacks 0"),
        (["flipped", "--exemplar-seeds", "a"], "--exemplar-seeds 'a' are no seeds"),
        (["icl", "--dims", "2"], "no sparsity lies between 1 of 2 weights and all of them"),
    ],
)
def test_a_wrong_word_is_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = lab(*arguments, "--out", str(tmp_path / "out"))
    assert isinstance(done.exception, CotkitError)
    assert str(done.exception).startswith(message)


def test_a_lab_that_does_not_exist_is_said() -> None:
    done = lab("mirrage")
    assert done.exit_code == 2
    assert "No such command 'mirrage'" in done.output
    assert "mirage" in done.output.split("No such command")[1].replace("mirrage", "")
