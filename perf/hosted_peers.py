"""How other evaluation tools are asked for the same work, each by its own command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

LM_EVAL_TASK = """\
task: hosted
dataset_path: json
dataset_kwargs: {{data_files: {{test: {prompts}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{prompt}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["\\nQ:"], max_gen_toks: 256}}
filter_list:
  - name: flexible
    filter:
      - {{function: regex, group_select: -1, regex_pattern: "(-?[0-9]+)"}}
      - {{function: take_first}}
metric_list: [{{metric: exact_match}}]
"""

INSPECT_TASK = """\
from inspect_ai import Task, task
from inspect_ai.dataset import FieldSpec, json_dataset
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import match
from inspect_ai.solver import generate

@task
def hosted():
    fields = FieldSpec(input="prompt", target="answer")
    return Task(
        dataset=json_dataset({prompts!r}, fields),
        solver=generate(),
        scorer=match(numeric=True),
        config=GenerateConfig(max_tokens=256),
    )
"""

LIGHTEVAL_TASK = """\
from lighteval.metrics.metrics import Metrics
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.requests import Doc

def ask(line, task_name=None):
    return Doc(task_name=task_name, query=line["prompt"], choices=[line["answer"]], gold_index=0)

TASKS_TABLE = [
    LightevalTaskConfig(
        name="hosted",
        prompt_function=ask,
        hf_repo={folder!r},
        hf_subset="default",
        hf_avail_splits=["test"],
        evaluation_splits=["test"],
        generation_size=256,
        metrics=[Metrics.exact_match],
        stop_sequence=["\\nQ:"],
    )
]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What every contestant is given."""

    url: str
    """Of the server."""
    prompts: Path
    """JSON lines with ``prompt`` and ``answer``."""
    connections: int
    """Requests at once."""
    folder: Path
    """Where it runs: empty, for whatever it leaves behind."""


Command = tuple[list[str], Mapping[str, str]]
"""Arguments and further environment of a process."""


def lm_eval(python: str, job: Job) -> Command:
    """EleutherAI's harness: ``local-chat-completions``."""
    task = LM_EVAL_TASK.format(prompts=json.dumps(str(job.prompts)))
    (job.folder / "hosted.yaml").write_text(task, encoding="utf-8")
    model = f"model=m,base_url={job.url}/v1/chat/completions,num_concurrent={job.connections}"
    command = [python, "-m", "lm_eval", "--model", "local-chat-completions", "--model_args", model]
    command += ["--include_path", str(job.folder), "--tasks", "hosted", "--apply_chat_template"]
    return [*command, "--output_path", str(job.folder / "out"), "--log_samples"], {
        "OPENAI_API_KEY": "fake"
    }


def inspect(python: str, job: Job) -> Command:
    """UK AISI's Inspect: ``openai-api``."""
    task = INSPECT_TASK.format(prompts=str(job.prompts))
    (job.folder / "hosted.py").write_text(task, encoding="utf-8")
    command = [python, "-m", "inspect_ai", "eval", "hosted.py"]
    command += ["--model", "openai-api/fake/m", "--max-connections", str(job.connections)]
    command += ["--max-samples", str(job.connections), "--display", "plain"]
    return [*command, "--log-dir", str(job.folder / "out")], {
        "FAKE_BASE_URL": f"{job.url}/v1",
        "FAKE_API_KEY": "fake",
    }


def lighteval(python: str, job: Job) -> Command:
    """Hugging Face's lighteval through litellm."""
    (job.folder / "data").mkdir()
    (job.folder / "data" / "test.jsonl").write_bytes(job.prompts.read_bytes())
    task = LIGHTEVAL_TASK.format(folder=str(job.folder / "data"))
    (job.folder / "hosted.py").write_text(task, encoding="utf-8")
    model = f"provider=openai,model_name=openai/m,base_url={job.url}/v1,api_key=fake"
    model += f",concurrent_requests={job.connections}"
    command = [python, "-m", "lighteval", "endpoint", "litellm", model, "hosted|0"]
    command += ["--custom-tasks", str(job.folder / "hosted.py"), "--save-details"]
    return [*command, "--output-dir", str(job.folder / "out")], {"OPENAI_API_KEY": "fake"}


PEERS: Mapping[str, Callable[[str, Job], Command]] = {
    "lm-eval": lm_eval,
    "inspect": inspect,
    "lighteval": lighteval,
}
"""Name -> (Python of its environment, job) -> command."""
