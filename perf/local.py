"""The local engine beside others: same model, prompts and limit, on this machine.

    python -m perf.local [--model M] [--problems N] [--max-tokens N] [--dtype D] [--peers FOLDER]
    python -m perf.local --device cuda --dtype bfloat16 --problems 128 --batches 32,128
    python -m perf.local --rows openvino-genai,servers --servers llama.cpp --peers F --no-scaling

Each is a process of its own; processor seconds are those of the whole process, start-up and loading
included, and so is the most memory (not a GPU's); disk is what a model's files take. "Work" leaves
start-up and loading out: processor seconds on a CPU, wall time on a GPU and of servers. ``--peers``
also runs lm-eval, Inspect and OpenVINO GenAI, each installed into a virtual environment in that
folder at the first call; ``--rows`` names those that run beside cotkit. OpenVINO GenAI and
llama.cpp run the 4-bit file as it is, or with its matrices in 16 bits (``--file-format BF16``; F16
for OpenVINO, which reads no BF16), cotkit its numbers in ``--dtype``. On a busy machine set
OMP_NUM_THREADS=1: threads that wait for each other burn processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cotkit.models.fetch import ensure_file, ensure_model
from perf.hosted_peers import INSPECT_TASK, LM_EVAL_TASK
from perf.local_work import requests

TORCH = "torch==2.13.0"
PEERS = {"lm-eval": "lm-eval[hf]", "inspect": "inspect-ai"}
OPENVINO = ("openvino-genai", "gguf")
ROWS = ("generate", "continuous", "servers", *PEERS, "openvino-genai")


@dataclass(frozen=True, slots=True)
class Process:
    """A process that has ended well."""

    cpu_s: float
    wall_s: float
    peak_mb: float
    told: dict[str, float]


def measured(command: Sequence[str], cwd: Path | None = None, **environment: str) -> Process:
    """Run a command; what it printed last is read as JSON if it is an object."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        started = subprocess.Popen(
            command, stdout=out, stderr=err, env={**os.environ, **environment}, cwd=cwd
        )
        _, status, usage = os.wait4(started.pid, 0)
        wall = time.perf_counter() - began
        out.seek(0)
        err.seek(0)
        if status:
            raise SystemExit(f"{' '.join(command)}:\n{err.read()[-2000:]}")
        last = (out.read().strip().splitlines() or [""])[-1]
    told = json.loads(last) if last.startswith("{") else {}
    return Process(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024, told)


def ours(kind: str, **settings: object) -> Process:
    """One of ``perf/local_work.py``."""
    return measured([sys.executable, "-m", "perf.local_work", kind, json.dumps(settings)])


def disk_mb(*paths: Path) -> float:
    """Return what files, and the files of folders, take on disk."""
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def line(name: str, n: int, done: Process, needed: float | None, disk: float = 0.0) -> None:
    """Print one row: problems per second, tokens computed against those necessary, memory."""
    tokens = f"{'not told':>27}"
    if needed and "prefill" in done.told:
        prefill, decode = done.told["prefill"], done.told["decode"]
        ratio = (prefill + decode) / needed
        tokens = f"{prefill:9,.0f} + {decode:6,.0f} = {ratio:5.2f}×"
    work = f"{done.told['seconds']:.1f}" if "seconds" in done.told else "-"
    print(
        f"{name:26} {done.wall_s:8.1f} {done.cpu_s:8.1f} {n / done.cpu_s:9.2f} "
        f"{work:>8} {tokens}"
        f" {done.peak_mb:8,.0f} {f'{disk:8,.0f}' if disk else '':>8}",
        flush=True,
    )


def install(folder: Path, *packages: str) -> Path:
    """Return the programs of a virtual environment; make it at the first call."""
    if not (folder / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(folder / "bin" / "pip"), "install", "-q", *packages], check=True)
    return folder / "bin"


def write_prompts(path: Path, n: int, max_tokens: int) -> None:
    """Write the prompts, and a gold that nothing is compared with."""
    asked = requests(n, max_tokens)
    lines = [json.dumps({"prompt": one.messages[0].content, "answer": "0"}) for one in asked]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def openvino(folder: Path, given: argparse.Namespace, needed: float) -> None:
    """Run OpenVINO GenAI on the file of an embedded model."""
    binaries, file = install(folder / "openvino-genai", *OPENVINO), gguf_file(given)
    prompts = Path(tempfile.mkdtemp()) / "prompts.jsonl"
    write_prompts(prompts, given.problems, given.max_tokens)
    threads = os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0))
    script = Path(__file__).with_name("local_openvino.py")
    numbers = str(given.max_tokens), str(threads)
    done = measured([str(binaries / "python"), str(script), str(file), str(prompts), *numbers])
    line(f"openvino-genai, {given.file_format}", given.problems, done, needed, disk_mb(file))


def gguf_file(given: argparse.Namespace) -> Path:
    """Return a model's file, one that was named or an embedded model's, in the format asked for."""
    model: str = given.model
    file = Path(model) if model.endswith(".gguf") else ensure_file(model, notify=print)
    if given.file_format == "4-bit":
        return file
    if given.peers is None:
        raise SystemExit("--file-format: say --peers FOLDER, where the file is to be")
    folder = given.peers.resolve()
    made: Path = folder / f"{file.stem}-{given.file_format}.gguf"
    if not made.exists():
        binaries = install(folder / "openvino-genai", *OPENVINO)
        script, part = Path(__file__).with_name("local_gguf.py"), made.with_suffix(".part")
        measured([str(binaries / "python"), *map(str, (script, file, part, given.file_format))])
        part.rename(made)
    return made


def peers(given: argparse.Namespace, needed: float) -> None:
    """Run lm-eval and Inspect on the same prompts."""
    folder: Path = given.peers.resolve()
    n, max_tokens = given.problems, given.max_tokens
    if "openvino-genai" in given.rows:
        openvino(folder, given, needed)
    if not set(PEERS) & set(given.rows):
        return
    weights = str(ensure_model(given.model, notify=print))
    work = Path(tempfile.mkdtemp())
    prompts = work / "prompts.jsonl"
    write_prompts(prompts, n, max_tokens)
    task = LM_EVAL_TASK.format(prompts=prompts).replace("256", str(max_tokens))
    (work / "hosted.yaml").write_text(task, encoding="utf-8")
    task = INSPECT_TASK.format(prompts=str(prompts)).replace("256", str(max_tokens))
    (work / "hosted.py").write_text(task, encoding="utf-8")
    for name in (name for name in PEERS if name in given.rows):
        binaries = install(folder / name, PEERS[name], TORCH, "transformers", "accelerate")
        for batch in given.batches:
            if name == "lm-eval":
                command = [
                    *(str(binaries / "lm_eval"), "--model", "hf", "--device", given.device),
                    *("--model_args", f"pretrained={weights},dtype={given.dtype}"),
                    *("--tasks", "hosted", "--include_path", str(work)),
                    *("--batch_size", str(batch)),
                ]
            else:
                command = [
                    *(str(binaries / "inspect"), "eval", "hosted.py"),
                    *("--model", f"hf/{Path(weights).name}", "-M", f"model_path={weights}"),
                    *("-M", f"device={given.device}", "--max-connections", str(batch)),
                    *("--log-dir", str(work / "logs"), "--display", "none"),
                ]
            cache = str(work / "cache")
            done = measured(command, cwd=work, HF_HUB_OFFLINE="1", HF_DATASETS_CACHE=cache)
            line(f"{name} hf, batch {batch}", n, done, needed)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--problems", type=int, default=32)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batches", default="1,8,32", type=_numbers)
    parser.add_argument("--servers", default="", type=str.split, help="e.g. 'llama.cpp vllm'")
    parser.add_argument("--file-format", default="4-bit", choices=("4-bit", "BF16", "F16"))
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--rows", default=ROWS, type=lambda text: tuple(text.split(",")))
    parser.add_argument("--no-scaling", action="store_true")
    given = parser.parse_args()
    n, limit = given.problems, given.max_tokens
    where = {"model": given.model, "dtype": given.dtype, "device": given.device}
    print(f"{' '.join(where.values())}, {n} problems, cot with 8 exemplars, at most {limit} tokens")
    print(
        f"{'':26} {'wall s':>8} {'CPU s':>8} {'prob/CPUs':>9} {'work s':>8}"
        f" {'prefill + decode':>20} needed"
        f" {'peak MB':>8} {'disk MB':>8}"
    )
    done = ours("cotkit", **where, n=n, max_tokens=limit)
    needed = done.told["needed"] + done.told["decode"]
    line("cotkit", n, done, needed, done.told["disk_mb"])
    for batch in given.batches if "generate" in given.rows else ():
        other = ours("plain", **where, n=n, max_tokens=limit, batch=batch)
        line(f"padded generate, batch {batch}", n, other, needed)
    if "continuous" in given.rows:
        other = ours("paged", **where, n=n, max_tokens=limit)
        line("continuous batching", n, other, needed)
    for engine in given.servers if "servers" in given.rows else ():
        file = gguf_file(given) if engine == "llama.cpp" else None
        other = ours("served", model=f"{engine}:{file or given.model}", n=n, max_tokens=limit)
        form = f", {given.file_format}" if file else ""
        line(f"{engine} as a server{form}", n, other, needed, disk_mb(file) if file else 0.0)
    if given.peers is not None:
        peers(given, needed)
    if given.no_scaling:
        return
    speed = ours("prefix", **where).told
    print(
        f"32 rows, tokens a second: {speed['100']:.0f} over 100 tokens, {speed['1000']:.0f} "
        f"over 1,000: {speed['1000'] / speed['100']:.2f} of it"
    )
    cost = ours("exemplars", **where, max_tokens=64).told
    print(f"64 problems, s: {cost['8']:.1f} with 8 exemplars, {cost['16']:.1f} with 16")
    votes = ours("samples", **where, max_tokens=64).told
    ratio = votes["eight"] / (8 * votes["decode_one"])
    print(
        f"8 samples of a problem, s: {votes['eight']:.1f}, prefill ({votes['prefill']:.1f}) "
        f"included: {ratio:.2f} of 8 times one sample's decoding ({votes['decode_one']:.1f})"
    )


if __name__ == "__main__":
    main()
