"""``MODEL@REVISION``: checkpoints of one training, and other trainings of a size."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cotkit.analysis.scale.grid import Rung, rung_position
from cotkit.errors import UnknownNameError, UsageError
from cotkit.labs.checkpoint import is_done
from cotkit.labs.pocket.recipe import SIZES, PocketRecipe
from cotkit.labs.pocket.training import PocketJob, pack_models
from cotkit.models import catalogue
from cotkit.models.catalogue import split_revision
from cotkit.models.folder import checkpoint_folder, read_training
from cotkit.paths import resource
from cotkit.types import BackendInfo
from cotkit.workflows.ladder import check_ladder, rung_of

pytest.importorskip("torch", reason="models need the extra hf")

from cotkit.backends.hf.source import resolve
from cotkit.labs.trainer import Trainer, make_accelerator
from cotkit.types import say_nothing


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("EleutherAI/pythia-160m", 299_892_736_000),
        ("EleutherAI/pythia-160m@main", 299_892_736_000),
        ("EleutherAI/pythia-160m@step143000", 299_892_736_000),
        ("eleutherai/pythia-70m@step1000", 2_097_152_000),
        ("EleutherAI/pythia-410m-seed9@step512", 512 * 2_097_152),
        ("allenai/OLMo-7B-hf@step1000-tokens4B", 4_000_000_000),
        ("allenai/OLMo-2-0425-1B@stage1-step140000-tokens294B", 294_000_000_000),
        ("allenai/OLMo-2-0425-1B@stage2-ingredient3-step23852-tokens51B", None),
        ("Qwen/Qwen2.5-7B@0123abcd", None),
        ("pocket-12k@step100", 819_200),
    ],
)
def test_a_revision_says_the_tokens_of_its_training_or_nothing(
    name: str, tokens: int | None
) -> None:
    entry = catalogue.find(name)
    assert entry.training_tokens == tokens
    flops = None if tokens is None else 6 * entry.n_active_params * tokens
    assert entry.training_flops == flops


def test_other_trainings_are_of_their_family_and_only_those_there_are() -> None:
    seed = catalogue.find("EleutherAI/pythia-160m-seed3")
    base = catalogue.find("EleutherAI/pythia-160m")
    assert (seed.family, seed.n_params) == (base.family, base.n_params)
    assert seed.hub_id == "EleutherAI/pythia-160m-seed3"
    for name in ("EleutherAI/pythia-160m-seed10", "EleutherAI/pythia-1b-seed1", "pocket-12k-seed2"):
        with pytest.raises(UnknownNameError):
            catalogue.find(name)
    rungs = [rung_of(info(name)) for name in (base.name, seed.name, "EleutherAI/pythia-410m")]
    check_ladder(rungs, "params")  # two trainings of one size


def test_a_path_that_exists_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert split_revision("a@b") == ("a", "b")
    Path("a@b").mkdir()
    assert split_revision("a@b") == ("a@b", None)
    assert split_revision("@cf/meta/llama") == ("@cf/meta/llama", None)


def info(model: str, n_params: int | None = None) -> BackendInfo:
    return BackendInfo(
        backend="hf",
        model=model,
        fingerprint="f",
        settings={},
        family=None if n_params else catalogue.find(model).family,
        n_params=n_params or catalogue.find(model).n_params,
    )


def test_checkpoints_of_one_training_stand_on_the_axis_of_its_tokens() -> None:
    names = ["pocket-12k@step100", "pocket-12k@step400", "pocket-12k"]
    rungs = [rung_of(info(name)) for name in names]
    check_ladder(rungs, "tokens")
    check_ladder(rungs, "flops")
    assert [rung_position(rung, i, "tokens") for i, rung in enumerate(rungs)] == [
        *(819_200, 3_276_800, 16_384_000)
    ]
    with pytest.raises(UsageError, match="the same number of parameters") as refusal:
        check_ladder(rungs, "params")
    assert "--x tokens" in str(refusal.value)
    with pytest.raises(UsageError, match="training tokens of x is not known"):
        check_ladder([*rungs, Rung(model="x", family="pocket", n_params=5)], "tokens")


def test_shipped_checkpoints_are_of_the_very_training_of_their_model() -> None:
    model = resource("weights/pocket-12k")
    own = json.loads((model / "recipe.json").read_text(encoding="utf-8"))
    folders = sorted(path.parent for path in model.glob("step*/config.json"))
    assert len(folders) == 8
    for folder in folders:
        recipe = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
        assert recipe.pop("step") == int(folder.name.removeprefix("step"))
        assert recipe == own
        source = resolve(
            f"pocket-12k@{folder.name}", revision=None, accept_terms=False, notify=say_nothing
        )
        assert source.folder == folder
    assert len({resolve_print(folder.name) for folder in folders}) == 8
    with pytest.raises(UnknownNameError, match="did you mean step100"):
        resolve("pocket-12k@step101", revision=None, accept_terms=False, notify=say_nothing)
    with pytest.raises(UsageError, match="names its revision"):
        resolve("pocket-12k@step100", revision="main", accept_terms=False, notify=say_nothing)


def resolve_print(step: str) -> str:
    model = f"pocket-12k@{step}"
    return resolve(model, revision=None, accept_terms=False, notify=say_nothing).fingerprint


def test_lab_train_keeps_what_it_is_asked_to_keep(tmp_path: Path) -> None:
    recipe = PocketRecipe(n_steps=6, batch_tokens=2048, long_tokens=1024)
    job = PocketJob(recipe=recipe, size=SIZES[0], seed=3, out=tmp_path, kept_steps=(2, 4))
    plain = replace(job, out=tmp_path / "plain", kept_steps=())
    job.check_kept()
    trainer = Trainer(accelerator=make_accelerator("cpu"), save_every=100, report=lambda _: None)
    for each in (job, plain):
        assert trainer.train(each) == "trained"
    weights = [job.folder / name / "model.safetensors" for name in ("step2", "step4", ".")]
    assert len({path.read_bytes() for path in weights}) == 3
    assert weights[2].read_bytes() == (plain.folder / "model.safetensors").read_bytes()
    for folder, step in ((checkpoint_folder(job.folder, "step4"), 4), (job.folder, 6)):
        training = read_training(folder)
        assert training is not None
        assert (training.family, training.tokens) == ("pocket", step * 2048)
    rung = rung_of(info(f"{job.folder}@step2", 2820))
    assert (rung.family, rung.train_tokens, rung.train_flops) == ("pocket", 4096, 6 * 2820 * 4096)
    with pytest.raises(UnknownNameError, match="step4"):
        checkpoint_folder(job.folder, "step3")
    (packed,) = pack_models([SIZES[0]], 3, tmp_path, tmp_path / "out")
    assert is_done(packed / "step2")
    job.check_kept()
    with pytest.raises(UsageError, match="beyond step 3"):
        replace(job, kept_steps=(3,)).check_kept()
    with pytest.raises(UsageError, match="step 6 of 6 cannot be kept"):
        replace(plain, kept_steps=(6,)).check_kept()


def test_a_folder_without_a_recipe_says_nothing(tmp_path: Path) -> None:
    for text in ("", "[]", '{"recipe": 3}', '{"recipe": {"recipe": {"n_steps": null}}}'):
        (tmp_path / "recipe.json").write_text(text, encoding="utf-8")
        assert read_training(tmp_path) is None
    assert read_training(tmp_path / "nowhere") is None
