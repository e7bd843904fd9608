#!/bin/sh
# One model, 128 problems, on a GPU: cotkit, padded generate, continuous batching, and vLLM where it is. Under six minutes.
#
#   sh perf/gpu.sh [MODEL]        # from the root of the repository; put its table into docs/LOG.md
set -eu
model=${1:-qwen2.5-coder-1.5b}
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
python -c 'import torch, transformers; print("torch", torch.__version__, "transformers", transformers.__version__)'
python -m cotkit models pull "$model" --dtype bfloat16
python -m cotkit models pull "$model" --dtype float32 # what the peers load
timeout 240 python -m perf.local --model "$model" --device cuda --dtype bfloat16 --problems 128 --batches 32,128 --no-scaling
if command -v vllm >/dev/null; then
    timeout 110 python -m perf.local_work served "{\"model\": \"vllm:$model\", \"n\": 128, \"max_tokens\": 128}"
fi
