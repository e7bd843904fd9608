"""llama.cpp's own server, from the wheel of xllamacpp, until standard input closes.

python -m tests.llama_server FILE.gguf NAME WINDOW     # prints its address first
"""

from __future__ import annotations

import importlib
import sys
from typing import Any


def main() -> None:
    """Serve a file on two threads, four prompts side by side."""
    xllamacpp: Any = importlib.import_module("xllamacpp")  # it has no types

    path, name, window = sys.argv[1:]
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.model_alias = {name}
    params.n_ctx, params.n_parallel = int(window), 4
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.warmup = params.fit_params = False
    server = xllamacpp.Server(params)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
