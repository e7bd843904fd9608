"""OpenVINO GenAI on a GGUF file as it is (4-bit); run by ``perf/local.py`` in an environment apart.

python perf/local_openvino.py FILE.gguf PROMPTS.jsonl MAX_TOKENS THREADS

Prints one JSON object: processor seconds of the generation, tokens generated.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import openvino_genai as genai  # pyright: ignore[reportMissingImports] - only there

file, prompts_path, max_tokens, threads = sys.argv[1:]
prompts = [json.loads(line)["prompt"] for line in Path(prompts_path).read_text().splitlines()]
scheduling: Any = genai.SchedulerConfig()
scheduling.enable_prefix_caching = True
scheduling.max_num_seqs = 32
settings = {"INFERENCE_NUM_THREADS": int(threads)}
pipeline: Any = genai.ContinuousBatchingPipeline(file, scheduling, "CPU", settings)
config: Any = genai.GenerationConfig()
config.max_new_tokens = int(max_tokens)
config.do_sample = False
config.apply_chat_template = False
config.stop_strings = {"\nQ:"}
pipeline.generate(["Hello"], [config])
began = time.process_time()
results = pipeline.generate(prompts, [config] * len(prompts))
seconds = time.process_time() - began
tokenizer = pipeline.get_tokenizer()
texts = [result.m_generation_ids[0] for result in results]
decode = sum(tokenizer.encode(text).input_ids.shape[1] for text in texts)
print(json.dumps({"seconds": seconds, "decode": decode}))
