"""Find the folder, fingerprint and placement of a model, without importing torch."""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import os
import platform
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from cotkit.backends._openai.services import suggest_service
from cotkit.errors import (
    BadInputError,
    CotkitError,
    Location,
    MissingDependencyError,
    ModelLoadError,
    UnknownNameError,
    UsageError,
)
from cotkit.identity import content_hash
from cotkit.inputs import parse_json, read_bytes
from cotkit.models import catalogue, fetch
from cotkit.models import folder as model_folder
from cotkit.models.catalogue import CatalogueEntry
from cotkit.models.content import file_hash
from cotkit.models.rounding import LAYOUTS
from cotkit.types import BackendInfo, Notify

_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModel:
    """A model on this machine."""

    folder: Path
    """A complete transformers folder."""
    fingerprint: str
    """The hub's commit, or a hash of the folder's content."""
    content: str
    """A hash of the folder's content, the same wherever it lies."""


def resolve(
    model: str,
    *,
    revision: str | None,
    accept_terms: bool,
    notify: Notify,
    choose_dtype: Callable[[int], str] = lambda _: "float32",
    with_code: bool = False,
) -> LocalModel:
    """Find a model: folder, GGUF file, catalogue name, or hub name; fetches it if need be.

    ``choose_dtype`` maps a number of parameters to the number format in which what cotkit converts
    is kept; ``with_code``: fetch Python files, too. ``MODEL@REVISION`` is a checkpoint: a revision
    of the hub, or a folder in the model's.

    Raises:
        UnknownNameError: none of these.
        UsageError: the terms of a catalogue model must be accepted first.
        MissingDataError: it is not on this machine and cannot be reached.
        ModelLoadError: the folder or file is not usable; names what is missing.
    """
    name, checkpoint = catalogue.split_revision(model)
    if checkpoint is not None and revision is not None:
        raise UsageError(f"{model} names its revision; revision={revision} another", hint="one")
    model, revision = name, checkpoint or revision
    entry, path = find_in_catalogue(model), Path(model).expanduser()
    if entry is not None and entry.hub_id is None and checkpoint is not None:
        own = fetch.ensure_model(entry.name, notify=notify, accept_terms=accept_terms)
        folder = model_folder.checkpoint_folder(own, checkpoint)
    elif entry is not None and revision is None:
        dtype = "float32" if entry.source is None else choose_dtype(entry.n_params)
        folder = fetch.ensure_model(
            entry.name, notify=notify, accept_terms=accept_terms, dtype=dtype
        )
    elif path.is_dir():
        folder = path if checkpoint is None else model_folder.checkpoint_folder(path, checkpoint)
    elif path.suffix == ".gguf":
        folder = fetch.ensure_gguf(path, notify=notify, choose_dtype=choose_dtype)
    elif _HUB_NAME.fullmatch(model):
        try:
            folder = fetch.fetch_snapshot(
                model, revision=revision, notify=notify, with_code=with_code
            )
        except CotkitError as missing:  # its owner may be a service, too: google/gemini-...
            missing.hint = "; ".join(filter(None, (missing.hint, suggest_service(model))))
            raise
    elif path.is_absolute() or model.startswith((".", "~")):
        raise ModelLoadError(f"{model}: no such folder")
    else:
        raise UnknownNameError("model", model, [each.name for each in catalogue.entries()])
    model_folder.check_folder(folder)
    identity = model_folder.identify_folder(folder, notify)
    return LocalModel(folder=folder, fingerprint=identity.fingerprint, content=identity.content)


def resolve_adapter(name: str, notify: Notify) -> Path:
    """Find a LoRA adapter: a folder, or the hub's.

    Raises:
        MissingDataError: it is not on this machine and cannot be reached.
        ModelLoadError: it is no adapter, or peft is not installed.
    """
    path = Path(name).expanduser()
    if not path.is_dir() and _HUB_NAME.fullmatch(name):
        return fetch.fetch_snapshot(name, notify=notify, check=model_folder.check_adapter)
    model_folder.check_adapter(path)
    return path


def hash_code(folder: Path) -> str:
    """Return the hash of the Python files in a folder."""
    files = {path.name: file_hash(path) for path in sorted(folder.glob("*.py"))}
    return content_hash("model-code", files)[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredIdentity:
    """What a store calls the weights of a model that lies here under another name."""

    content: str
    """As of :class:`LocalModel`: of other weights this says nothing."""
    model: str
    """The name under which its answers are stored."""
    fingerprint: str
    """The fingerprint under which they are."""


def match_stored(
    info: BackendInfo, local: LocalModel, stored: Iterable[BackendInfo]
) -> StoredIdentity | None:
    """Return the first of the stored backends that has these weights and runs them alike.

    None: there is none, or ``info`` itself is stored.
    """
    alike = [
        other
        for other in stored
        if (other.backend, dict(other.settings)) == (info.backend, dict(info.settings))
        and (
            other.fingerprint in {info.fingerprint, local.content}
            or model_folder.content_of_commit(other.fingerprint) == local.content
        )
    ]
    own = (info.model, info.fingerprint)
    if not alike or any((other.model, other.fingerprint) == own for other in alike):
        return None
    return StoredIdentity(
        content=local.content, model=alike[0].model, fingerprint=alike[0].fingerprint
    )


def find_in_catalogue(model: str) -> CatalogueEntry | None:
    """Return the catalogue's entry of a model; None if it does not have the name."""
    try:
        return catalogue.find(model)
    except UnknownNameError:
        return None


def chat_template_hash(folder: Path) -> str:
    """Return the hash of a folder's chat template.

    Raises:
        ModelLoadError: it has none.
    """
    template = read_template(folder)
    if template is None:
        raise ModelLoadError(
            f"{folder}: the model has no chat template", hint="use chat=false for a base model"
        )
    return content_hash("chat-template", template)[:16]


def read_template(folder: Path) -> str | None:
    """Return a folder's chat template; None: it has none."""
    own = folder / "chat_template.jinja"
    if own.is_file():
        return own.read_text(encoding="utf-8") or None
    template = read_json(folder / "tokenizer_config.json").get("chat_template")
    template = template or read_json(folder / "chat_template.json").get("chat_template")
    if isinstance(template, list):  # several, by name
        template = {str(each.get("name")): each.get("template") for each in template}.get("default")
    return template or None


def quantisation(folder: Path) -> str:
    """Return how the folder's weights are quantised by its config; ``none`` if they are not."""
    config = read_json(folder / "config.json").get("quantization_config")
    return str(config.get("quant_method", "none")) if isinstance(config, dict) else "none"


def read_json(path: Path) -> dict[str, Any]:
    """Read an object from a JSON file; empty if there is no such file.

    Raises:
        ModelLoadError: the file holds no object of JSON, or cannot be read as one.
    """
    if not path.is_file():
        return {}
    try:  # what is said twice counts as it does for transformers, which reads the same files
        value = parse_json(read_bytes(path), Location(file=path), make_object=dict)
    except BadInputError as broken:
        raise ModelLoadError(broken.message) from broken
    if not isinstance(value, dict):
        raise ModelLoadError(f"{path}: not an object")
    return cast("dict[str, Any]", value)


# Which device and number format a run will use, found out without importing torch.
#
# ``info`` is part of every key and is asked at every start, and importing torch takes seconds. The
# engine compares what was found here with what torch says before it loads a weight.


DTYPES = ("float32", "bfloat16", "float16", *LAYOUTS)
"""Values of ``dtype`` besides ``auto``."""

_MAJOR = 75  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
_BFLOAT16_SINCE = 8  # compute capability (Ampere)
_SMALL = 10_000_000  # parameters
_CPU_FILE = Path("/proc/cpuinfo")
_FAST_BFLOAT16 = frozenset({"amx_bf16", "avx512_bf16"})  # Intel since 2020, AMD since Zen 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where and in what numbers a model runs."""

    device: str
    """``cpu``, ``cuda``, ``mps`` or another torch device, with an index if the user gave one."""
    dtype: str
    """``float32``, ``bfloat16``, ``float16``, ``int8`` or ``q4``."""
    spread: bool
    """Whether accelerate may spread the model over all devices of this type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """What a user may say of how weights become a network."""

    adapter: Path | None = None
    """Folder of a LoRA adapter, which peft merges into the weights."""
    attn_implementation: str = ""
    """One of transformers' for the model's own attention; empty: ours where it is exact."""
    trust_remote_code: bool = False
    """Whether Python code of the model's folder may run."""


DEFAULTS = LoadOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """What an engine runs, and where."""

    folder: Path
    """A transformers folder."""
    placement: Placement
    """Device and dtype."""
    context_tokens: int | None
    """Context window; None: unknown, so not checked."""
    batch_size: int | None
    """Most sequences at once; None: by the memory there is."""
    chat: bool
    """Whether messages are rendered with the chat template."""
    template_kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Variables that the chat template gets besides the messages."""
    end_texts: tuple[str, ...] = ()
    """Tokens that end an answer besides those that the folder calls end tokens."""
    logits_settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the generation config asks of every text; see ``generation_config.py``."""
    options: LoadOptions = DEFAULTS
    """How it is loaded."""
    content: str = ""
    """What the folder must hold when it is loaded: ``LocalModel.content``; empty: not checked."""


def choose_placement(device: str, dtype: str, n_params: int | None) -> Placement:
    """Resolve ``auto``: an accelerator if there is one, and the numbers that it is fast in.

    Networks below 10 million parameters are float32 everywhere: they gain nothing from less, and
    round their answers away. Others are bfloat16: half of float32's memory, and on any CPU no more
    than its time, experts of mixtures apart (``products.py``); GPUs before Ampere get float16.

    Raises:
        UsageError: an unknown dtype, or int8 or q4 on anything but a CPU.
        MissingDependencyError: torch is not installed.
    """
    if dtype not in ("auto", *DTYPES):
        raise UsageError(f"unknown dtype {dtype!r}", hint=f"one of auto, {', '.join(DTYPES)}")
    major = _cuda_major()
    automatic = "cuda" if major else "mps" if _is_apple() else "cpu"
    chosen = automatic if device == "auto" else device
    if dtype == "auto":
        kind = chosen.partition(":")[0]
        old = kind == "cuda" and 0 < major < _BFLOAT16_SINCE
        small = n_params is not None and n_params < _SMALL
        dtype = "float32" if small else "float16" if old else "bfloat16"
    if dtype in LAYOUTS and chosen != "cpu":
        raise UsageError(f"dtype={dtype} is for CPUs, not for {chosen}", hint="add device=cpu")
    return Placement(device=chosen, dtype=dtype, spread=device == "auto" and chosen != "cpu")


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that compute, by name.

    Raises:
        MissingDependencyError: one of them is not installed.
    """
    try:
        return {name: importlib.metadata.version(name) for name in ("torch", "transformers")}
    except importlib.metadata.PackageNotFoundError as missing:
        raise MissingDependencyError("torch and transformers", "hf") from missing


@functools.cache
def is_fast_in_bfloat16() -> bool:
    """Return whether the CPU has instructions for bfloat16, by its flags as Linux lists them."""
    try:
        lines = _CPU_FILE.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    return not _FAST_BFLOAT16.isdisjoint(flags)


def _is_apple() -> bool:
    return platform.system() == "Darwin" and platform.machine() == "arm64"


def choose_replicas(placement: Placement, n_params: int | None) -> int:
    """Return how many GPUs hold a copy of the model each; 1 where one does not hold it all.

    A model that is spread over cards computes on one of them at a time.
    """
    cards = _cuda_cards()
    if placement.device != "cuda" or n_params is None:
        return 1
    n_bytes = (4 if placement.dtype == "float32" else 2) * n_params * _ROOM_BESIDE
    return max(1, len(cards)) if all(memory >= n_bytes for _, memory in cards) else 1


_ROOM_BESIDE = 1.3  # weights, and what their sequences need


def _cuda_major() -> int:
    """Return the major compute capability of the first GPU that torch can use; 0: none."""
    build = package_versions()["torch"].partition("+")[2]
    if build.startswith("rocm"):
        return _BFLOAT16_SINCE if Path("/dev/kfd").exists() else 0
    cards = _cuda_cards()
    return cards[0][0] if cards else 0


def _cuda_cards() -> list[tuple[int, int]]:
    """Return (major compute capability, bytes of memory) of each GPU that torch can use.

    Asks the driver, which is what torch does.
    """
    build = package_versions()["torch"].partition("+")[2]
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if build.startswith(("cpu", "rocm")) or hidden:
        return []
    name = "nvcuda.dll" if platform.system() == "Windows" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        return []
    count, major, memory = ctypes.c_int(0), ctypes.c_int(0), ctypes.c_size_t(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return []
    cards: list[tuple[int, int]] = []
    for card in range(count.value):
        driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, card)
        driver.cuDeviceTotalMem_v2(ctypes.byref(memory), card)
        cards.append((major.value, memory.value))
    return cards
