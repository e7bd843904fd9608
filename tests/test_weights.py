"""Weights are known by what they hold: no file of a model is changed, swapped or cut unnoticed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cotkit
from cotkit.backends.hf import Hf
from cotkit.backends.hf.source import LocalModel, resolve
from cotkit.errors import ModelLoadError
from cotkit.events import Event, RunEnded, Said
from cotkit.models import content, fetch
from cotkit.models import folder as model_folder
from cotkit.models.rounding import LAYOUTS, fits_q4
from cotkit.paths import resource
from cotkit.types import Decoding, Message, Request
from tests import tiny_gguf
from tests.conftest import Sums
from tests.tiny_gguf import write_llama

pytest.importorskip("gguf", reason="making a folder needs the extra hf")

COMMIT = "c0ffee" * 6 + "cafe"
TOKENIZER, WEIGHTS, CONFIG = "tokenizer.json", "model.safetensors", "config.json"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTKIT_CACHE_DIR", str(tmp_path / "cache"))


def exact(n_params: int) -> str:
    return "float32"


def refuse(text: str) -> None:
    raise AssertionError(text)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COTKIT_CACHE_DIR", str(home))
        return fetch.ensure_gguf(write_llama(home / "mine.gguf"), notify=print, choose_dtype=exact)


@pytest.fixture
def converted(made: Path, tmp_path: Path) -> Path:
    """A folder that cotkit made, with its manifest."""
    return Path(shutil.copytree(made, tmp_path / "converted"))


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A folder of somebody's, without any manifest."""
    return Path(shutil.copytree(resource("weights/pocket-3k"), tmp_path / "plain"))


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """A model as the hub's cache holds it: links into blobs that are named by their hash."""
    root = tmp_path / "hub" / "models--org--tiny"
    (root / "blobs").mkdir(parents=True)
    folder = root / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    for path in resource("weights/pocket-3k").iterdir():
        put_blob(folder, path.name, path.read_bytes())
    return folder


def put_blob(folder: Path, name: str, data: bytes) -> None:
    """Weights are named by their SHA-256, other files as git names them."""
    git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    blob = hashlib.sha256(data).hexdigest() if name.endswith(".safetensors") else git
    (folder.parent.parent / "blobs" / blob).write_bytes(data)
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(Path("..", "..", "blobs", blob))


# Attacks on one file. Each keeps its size where it can, and sets the time of change back.


def overwrite(path: Path, data: bytes) -> None:
    stat = path.stat()
    path.resolve().write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_mtime_ns == stat.st_mtime_ns


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    overwrite(path, bytes(data))


def zero(path: Path) -> None:
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little") if path.name == WEIGHTS else len(data) // 2
    overwrite(path, data[:start] + bytes(len(data) - start))


def swap_two_bytes(path: Path) -> None:
    data = bytearray(path.read_bytes())
    at = next(i for i in range(len(data) // 2, len(data)) if data[i] != data[i - 1])
    data[at - 1], data[at] = data[at], data[at - 1]
    overwrite(path, bytes(data))


def truncate(path: Path) -> None:
    overwrite(path, path.read_bytes()[:-4])


def lengthen(path: Path) -> None:
    overwrite(path, path.read_bytes() + b"\n")


def replace_file(path: Path) -> None:
    """Put another file, another inode, in its place."""
    stat, data = path.stat(), bytearray(path.read_bytes())
    data[-2] ^= 1
    other = path.with_name("other.part")
    other.write_bytes(data)
    other.replace(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def replace_by_link(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    other = path.parent.parent / f"elsewhere-{path.name}"
    other.write_bytes(data)
    path.unlink()
    path.symlink_to(other)


ATTACKS = [
    flip_a_byte,
    zero,
    swap_two_bytes,
    truncate,
    lengthen,
    replace_file,
    replace_by_link,
    Path.unlink,
]


@pytest.mark.parametrize("name", [WEIGHTS, TOKENIZER, CONFIG])
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_folder_that_cotkit_made_is_refused_by_the_name_of_the_file_that_changed(
    converted: Path, attack: Callable[[Path], None], name: str
) -> None:
    before = model_folder.identify_folder(converted)
    manifest = model_folder.read_manifest(converted)
    assert manifest is not None
    assert manifest.fingerprint == before.fingerprint, "the fingerprint keeps its value"
    attack(converted / name)
    with pytest.raises(ModelLoadError, match=rf"{name}.*fetch the model again") as refused:
        model_folder.identify_folder(converted)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", [WEIGHTS, TOKENIZER, CONFIG])
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_snapshot_of_the_hub_is_refused_by_the_name_of_the_file_that_changed(
    snapshot: Path, attack: Callable[[Path], None], name: str
) -> None:
    assert model_folder.identify_folder(snapshot).fingerprint == COMMIT
    attack(snapshot / name)
    if attack is Path.unlink:
        if name == WEIGHTS:
            with pytest.raises(ModelLoadError, match=f"{name} is missing"):
                model_folder.check_folder(snapshot)
        return
    with pytest.raises(ModelLoadError, match=rf"{name} is not what the hub gave: .*again") as told:
        model_folder.identify_folder(snapshot)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", [WEIGHTS, TOKENIZER, CONFIG])
def test_a_snapshot_is_refused_at_first_sight_too(snapshot: Path, name: str) -> None:
    flip_a_byte(snapshot / name)
    with pytest.raises(ModelLoadError, match=rf"{name} is not what the hub gave"):
        model_folder.identify_folder(snapshot)


def test_another_blob_of_the_cache_is_not_this_commits(snapshot: Path) -> None:
    model_folder.identify_folder(snapshot)
    other = resource("weights/pocket-6k") / WEIGHTS
    put_blob(snapshot, WEIGHTS, other.read_bytes())
    with pytest.raises(ModelLoadError, match=rf"{WEIGHTS} is not what the hub gave: another"):
        model_folder.identify_folder(snapshot)


@pytest.mark.parametrize("name", [WEIGHTS, TOKENIZER, "generation_config.json"])
@pytest.mark.parametrize("attack", [flip_a_byte, zero, swap_two_bytes, replace_file])
def test_a_folder_of_somebodys_is_another_model_once_a_file_changed(
    plain: Path, attack: Callable[[Path], None], name: str
) -> None:
    before = model_folder.identify_folder(plain)
    attack(plain / name)
    assert model_folder.identify_folder(plain) != before


@pytest.mark.parametrize(
    "name", ["chat_template.jinja", "added_tokens.json", "adapter_model.safetensors", "x.model"]
)
@pytest.mark.parametrize("kind", ["converted", "plain"])
def test_a_file_that_was_added_makes_it_another_model(
    kind: str, name: str, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(kind)
    before = model_folder.identify_folder(folder)
    (folder / "README.md").write_text("notes do not matter")
    assert model_folder.identify_folder(folder) == before
    (folder / name).write_bytes(b"{}")
    assert model_folder.identify_folder(folder) != before


def test_shards_in_folders_below_count_and_none_may_be_missing_or_cut(plain: Path) -> None:
    (plain / "below").mkdir()
    shard = (plain / WEIGHTS).rename(plain / "below" / "model-00001-of-00001.safetensors")
    index = {"weight_map": {"a": f"below/{shard.name}"}}
    (plain / "model.safetensors.index.json").write_text(json.dumps(index))
    before = model_folder.identify_folder(plain)
    flip_a_byte(shard)
    assert model_folder.identify_folder(plain) != before
    truncate(shard)
    with pytest.raises(ModelLoadError, match=rf"{shard.name}: not a safetensors.*cut short"):
        model_folder.n_params(plain)
    shard.unlink()
    with pytest.raises(ModelLoadError, match=f"{shard.name} is missing"):
        model_folder.identify_folder(plain)


def test_an_adapter_without_the_package_that_applies_it_is_refused(plain: Path) -> None:
    (plain / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelLoadError, match=r"adapter_config.json.*(peft|adapter_model)"):
        model_folder.check_folder(plain)


def test_what_was_hashed_is_hashed_again_only_if_its_state_changed(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = model_folder.identify_folder(plain)
    read: list[str] = []
    hash_file = content._hash_file

    def counted(path: Path, *arguments: object) -> object:
        read.append(path.name)
        return hash_file(path, *arguments)  # pyright: ignore[reportArgumentType] - as given

    monkeypatch.setattr(content, "_hash_file", counted)
    assert model_folder.identify_folder(plain) == before
    assert read == []
    os.utime(plain / WEIGHTS)
    assert model_folder.identify_folder(plain) == before
    assert read == [WEIGHTS]
    link = plain.parent / "link"
    link.symlink_to(plain)
    assert model_folder.identify_folder(link) == before
    assert read == [WEIGHTS], "the same files under another path"
    Path(os.environ["COTKIT_CACHE_DIR"], "fingerprints.json").write_text("[1, 2")
    assert model_folder.identify_folder(plain) == before, "the memory is only a cache"
    assert len(read) > 1


def test_a_change_within_one_tick_of_the_clock_is_seen(plain: Path) -> None:
    path = plain / CONFIG
    seen: set[str] = set()
    for number in range(20):
        path.write_text(f'{{"a": {number:03}}}')
        seen.add(content.file_hash(path))
    assert len(seen) == 20


def test_a_long_reading_says_how_far_it_is(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "_QUIET_S", -1.0)
    said: list[str] = []
    model_folder.identify_folder(plain, said.append)
    assert f"checking what {WEIGHTS} holds, once: 0.0 of 0.0 GB" in said


def test_a_file_made_in_the_cache_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetch.ensure_gguf(
        write_llama(tmp_path / "mine.gguf"), notify=print, choose_dtype=exact
    )
    monkeypatch.setattr(content, "_hash_file", refuse)
    model_folder.identify_folder(folder)


def test_weights_that_change_between_the_identity_and_the_loading_are_refused(plain: Path) -> None:
    backend = Hf(model=str(plain))
    assert backend.info.fingerprint
    zero(plain / WEIGHTS)
    request = Request(
        messages=(Message(role="user", content="1+1="),),
        decoding=Decoding(max_tokens=1, temperature=0.0),
    )
    import asyncio

    async def ask() -> None:
        try:
            await backend.generate(request)
        finally:
            await backend.close()

    with pytest.raises(
        ModelLoadError, match="changed between the begin of the run and its loading"
    ):
        asyncio.run(ask())


# The same weights under another path are the same model.


def run(model: Path | str, seen: list[Event] | None = None) -> tuple[str, int]:
    """Return the run's id and how many completions were made now."""
    events: list[Event] = [] if seen is None else seen
    comparison = cotkit.compare(
        str(model),
        "zero-shot-cot",
        Sums(n=2),
        generation={"max_tokens": "8"},
        on_event=events.append,
    )
    (ended,) = [event for event in events if isinstance(event, RunEnded)]
    return comparison.run_id, ended.n_generated


def test_a_copy_a_link_and_another_spelling_find_the_stored_answers(plain: Path) -> None:
    run_id, n_made = run(plain)
    assert n_made
    copy = shutil.copytree(plain, plain.parent / "copy")
    link = plain.parent / "link"
    link.symlink_to(copy)
    for other in (copy, link, f"./{plain.name}", f"{plain.parent}/../{plain.parent.name}/copy"):
        events: list[Event] = []
        assert run(other, events) == (run_id, 0), other
        notes = [event.text for event in events if isinstance(event, Said)]
        assert any("holds the same weights as" in note for note in notes), notes
    flip_a_byte(copy / WEIGHTS)
    other_id, n_made = run(copy)
    assert other_id != run_id
    assert n_made


def test_a_copy_of_a_snapshot_is_the_commit_and_the_reverse(snapshot: Path, plain: Path) -> None:
    run_id, n_made = run(snapshot)
    assert n_made
    assert run(plain) == (run_id, 0)
    moved = snapshot.parents[2].rename(snapshot.parents[2].with_name("other-hub"))
    assert run(moved / "models--org--tiny" / "snapshots" / COMMIT) == (run_id, 0)


def test_a_name_that_has_answers_of_its_own_keeps_it(plain: Path) -> None:
    copy = shutil.copytree(plain, plain.parent / "copy")
    first, second = Hf(model=str(plain)), Hf(model=str(copy))
    second.find_stored([first.info, second.info])
    assert second.info.model == str(copy)
    second.find_stored([first.info])
    assert (second.info.model, second.info.fingerprint) == (
        first.info.model,
        first.info.fingerprint,
    )
    changed = Hf(model=str(copy), dtype="int8")
    changed.find_stored([first.info])
    assert changed.info.model == str(copy), "run otherwise, they are not the same"


def test_zeroed_weights_never_get_the_old_answers(plain: Path) -> None:
    names = [path.name for path in sorted(plain.glob("*.json"))]
    files = {name: content.file_hash(plain / name) for name in [WEIGHTS, *names]}
    model_folder.write_manifest(
        plain,
        model_folder.Manifest(
            source={},
            converter_version=1,
            n_params=1,
            files=files,
            sizes={name: (plain / name).stat().st_size for name in files},
        ),
    )
    _, n_made = run(plain)
    assert n_made
    zero(plain / WEIGHTS)
    with pytest.raises(ModelLoadError, match=rf"{WEIGHTS} is not what it was"):
        run(plain)


def test_resolving_says_both_names(snapshot: Path, plain: Path) -> None:
    def local(path: Path) -> LocalModel:
        return resolve(str(path), revision=None, accept_terms=False, notify=refuse)

    assert local(snapshot).fingerprint == COMMIT
    assert local(snapshot).content == local(plain).content == local(plain).fingerprint


# Number formats of one file: other bytes, the same weights.


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma3"])
def test_a_folder_in_any_format_holds_what_torch_makes_of_float32(
    tmp_path: Path, architecture: str
) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    from cotkit.backends.hf.rounded_layers import Int8Head, Int8Linear, Q4Linear

    path = tmp_path / "mine.gguf"
    tiny_gguf.write(path, architecture, head_apart=architecture == "qwen2")
    folders = {
        dtype: fetch.ensure_gguf(path, notify=print, choose_dtype=lambda _, dtype=dtype: dtype)
        for dtype in ("float32", "bfloat16", "float16", "int8", "q4")
    }
    states = {dtype: load_file(folder / WEIGHTS) for dtype, folder in folders.items()}
    for name, value in states["float32"].items():
        for dtype in ("bfloat16", "float16"):
            assert torch.equal(states[dtype][name], value.to(getattr(torch, dtype))), name
        if not name.endswith(("_proj.weight", "lm_head.weight")):
            assert torch.equal(states["int8"][name], value), name
            assert torch.equal(states["q4"][name], states["bfloat16"][name]), name
            continue
        layer = torch.nn.Linear(*reversed(value.shape), bias=False)
        layer.weight = torch.nn.Parameter(value)
        rounded = Int8Linear(layer)
        scale = value.abs().amax(1, keepdim=True) / 127
        assert torch.equal(rounded.weight, (value / scale).round().to(torch.int8).t()), name
        assert torch.equal(rounded.scale, scale.t()), name
        stem = name.removesuffix("weight")
        assert torch.equal(states["int8"][name], rounded.weight), name
        assert torch.equal(states["int8"][f"{stem}scale"], rounded.scale)
        if name == "lm_head.weight":
            head = Int8Head(layer)
            assert torch.equal(states["q4"][name], head.weight), name
            assert torch.equal(states["q4"][f"{stem}scale"], head.scale)
        elif fits_q4(*value.shape):
            fours = Q4Linear(layer)
            assert torch.equal(states["q4"][name], fours.weight), name
            assert torch.equal(states["q4"][f"{stem}scale_and_zero"], fours.scale_and_zero)
        else:
            assert torch.equal(states["q4"][name], states["bfloat16"][name]), name
    n_fours = sum(name.endswith("scale_and_zero") for name in states["q4"])
    assert 0 < n_fours < sum(name.endswith("_proj.weight") for name in states["q4"])
    is_tied = "lm_head.weight" not in states["float32"]
    for dtype in ("int8", "q4"):
        assert "lm_head.weight" in states[dtype], "of a tied one, too: what is read is small"
    assert is_tied is (architecture != "qwen2")
    identities = {str(model_folder.identify_folder(folder)) for folder in folders.values()}
    assert len(identities) == 1, "the same weights, whatever they are stored in"
    assert len({model_folder.n_params(folder) for folder in folders.values()}) == 1
    copied = shutil.copytree(folders["bfloat16"], tmp_path / "copied")
    assert str(model_folder.identify_folder(copied)) in identities


def test_a_folder_in_another_format_is_made_of_one_in_float32_without_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_llama(tmp_path / "mine.gguf")
    exact_folder = fetch.ensure_gguf(path, notify=print, choose_dtype=exact)
    direct = fetch.ensure_gguf(path, notify=print, choose_dtype=lambda _: "bfloat16")
    part = tmp_path / "part"
    part.mkdir()
    conversion = fetch._reformat(exact_folder, part, "bfloat16", print)
    assert (part / WEIGHTS).read_bytes() == (direct / WEIGHTS).read_bytes()
    begin = 8 + int.from_bytes((direct / WEIGHTS).read_bytes()[:8], "little")
    assert begin % 64 == 0, "processors read what is aligned faster"
    assert conversion.fingerprint == model_folder.identify_folder(direct).fingerprint


@pytest.mark.parametrize("architecture", ["qwen2", "gemma3"])
@pytest.mark.parametrize("rounded", ["int8", "q4"])
def test_what_is_stored_rounded_answers_as_what_is_rounded_at_loading(
    tmp_path: Path, architecture: str, rounded: str
) -> None:
    torch = pytest.importorskip("torch")
    from cotkit.backends.hf.forward import make_context
    from cotkit.backends.hf.loading import load_network
    from cotkit.backends.hf.source import choose_placement

    path = tmp_path / "mine.gguf"
    tiny_gguf.write(path, architecture, head_apart=architecture == "qwen2")
    placement = choose_placement("cpu", rounded, None)
    logits: list[object] = []
    for dtype in ("float32", rounded):
        folder = fetch.ensure_gguf(path, notify=print, choose_dtype=lambda _, dtype=dtype: dtype)
        network = load_network(folder, placement, print)
        if rounded == "q4":
            head: Any = network.model.get_output_embeddings()
            assert head.weight.data_ptr() % 16 == 0, "its kernel may crash"
        context = make_context(network)
        context.add()
        with torch.inference_mode():
            logits.append(context.forward([[5, 6, 7, 8]]))
    assert torch.equal(*logits)


@pytest.mark.parametrize(("dtype", "adapter"), [("float32", None), ("q4", Path("a"))])
def test_a_folder_of_rounded_weights_is_nothing_else(
    tmp_path: Path, dtype: str, adapter: Path | None
) -> None:
    pytest.importorskip("torch")
    from cotkit.backends.hf.loading import load_network
    from cotkit.backends.hf.source import LoadOptions, choose_placement

    path = write_llama(tmp_path / "mine.gguf")
    folder = fetch.ensure_gguf(path, notify=print, choose_dtype=lambda _: "q4")
    placement = choose_placement("cpu", dtype, None)
    with pytest.raises(ModelLoadError, match="holds weights in q4 alone") as refused:
        load_network(folder, placement, print, LoadOptions(adapter=adapter))
    assert "take dtype=q4 and no adapter" in str(refused.value)


def test_a_forged_manifest_does_not_make_other_weights_the_same(tmp_path: Path) -> None:
    path = write_llama(tmp_path / "mine.gguf")
    folder = fetch.ensure_gguf(path, notify=print, choose_dtype=lambda _: "bfloat16")
    before = model_folder.identify_folder(folder)
    flip_a_byte(folder / WEIGHTS)
    manifest = model_folder.read_manifest(folder)
    assert manifest is not None
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    files = {**manifest.files, WEIGHTS: digest}
    model_folder.write_manifest(folder, replace(manifest, files=files))
    assert model_folder.identify_folder(folder) != before
    again = fetch.ensure_gguf(path, notify=print, choose_dtype=lambda _: "bfloat16")
    assert model_folder.identify_folder(again) == before, "made anew"


@pytest.mark.parametrize("dtype", ["int8", "q4"])
def test_rounded_weights_of_an_earlier_layout_are_made_anew(tmp_path: Path, dtype: str) -> None:
    path = write_llama(tmp_path / "mine.gguf")
    folder = fetch.ensure_gguf(path, notify=print, choose_dtype=lambda _: dtype)
    manifest = model_folder.read_manifest(folder)
    assert manifest is not None
    (folder / "of the earlier one").touch()
    assert fetch.ensure_gguf(path, notify=print, choose_dtype=lambda _: dtype) == folder
    assert (folder / "of the earlier one").exists()
    model_folder.write_manifest(folder, replace(manifest, converter_version=LAYOUTS[dtype] - 1))
    assert fetch.ensure_gguf(path, notify=print, choose_dtype=lambda _: dtype) == folder
    assert not (folder / "of the earlier one").exists()
    assert model_folder.read_manifest(folder) == manifest


def test_what_is_forgotten_of_a_folder_is_found_out_again(tmp_path: Path) -> None:
    path = write_llama(tmp_path / "mine.gguf")
    folder = fetch.ensure_gguf(path, notify=print, choose_dtype=lambda _: "bfloat16")
    before = model_folder.identify_folder(folder)
    (tmp_path / "cache" / "fingerprints.json").unlink()
    assert folder == fetch.ensure_gguf(path, notify=print, choose_dtype=lambda _: "bfloat16")
    assert model_folder.identify_folder(folder) == before
