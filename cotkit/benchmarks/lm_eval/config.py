"""Read a task file of lm-evaluation-harness as data: nothing in it is run or guessed.

Python code that it names is found and said; ``task_code.py`` has lm-eval run it.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import importlib.util
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from cotkit.benchmarks._files import Record, read_records, read_task
from cotkit.benchmarks._hub import HubSplit, find_split, name_file
from cotkit.benchmarks.lm_eval.worker import WorkerError, render
from cotkit.errors import (
    BadInputError,
    Location,
    MissingDataError,
    MissingDependencyError,
    UnknownNameError,
)
from cotkit.inputs import MAX_DEPTH, MAX_DIGITS, decode, first_line, read_bytes

if TYPE_CHECKING:
    import yaml

HONOURED_FIELDS = frozenset(
    {
        *("task", "include", "output_type", "filter_list", "fewshot_config"),
        *("dataset_path", "dataset_name", "dataset_kwargs"),
        *("test_split", "validation_split", "training_split", "fewshot_split"),
        *("doc_to_text", "doc_to_target", "doc_to_choice"),
    }
)
LABEL_FIELDS = frozenset({"task_alias", "tag", "metadata"})
"""Fields that change no result there either."""
IGNORED_FIELDS: Mapping[str, str] = {
    "description": "strategies write the prompt",
    "gen_prefix": "strategies write the prompt",
    "num_fewshot": "--exemplars says how many",
    "fewshot_delimiter": "strategies write the prompt",
    "target_delimiter": "strategies write the prompt",
    "generation_kwargs": "strategies end at their answer line; --gen-kwargs max_tokens=N",
    "metric_list": "the task's filters compare by its exact_match, all else is as ever",
    "repeats": "self-consistency draws several samples",
    "should_decontaminate": "cotkit does not look for contamination",
    "doc_to_decontamination_query": "cotkit does not look for contamination",
    "process_results": "cotkit's readers compare",
}
"""Field -> why it has no effect here; the notes name those that a task has."""
CODE_FIELDS = frozenset({"process_docs", "process_results", "custom_dataset"})
"""Fields that hold Python code: on every row, on every answer, to get the rows."""
REFUSED_FIELDS: Mapping[str, str] = {
    "class": "is a task written in Python",
    "unsafe_code": "runs code that the model writes",
    "use_prompt": "takes the prompt from another package",
    "doc_to_image": "asks with images",
    "doc_to_audio": "asks with sound",
    "group": "is a group of tasks",
    "aggregate_metric_list": "is a group of tasks",
}
"""Field -> why a task with it cannot be read."""

_MAX_BYTES = 128 * 1024
"""Of a task file and all that it includes."""
_MAX_VALUES = 20_000
"""Of a task file, what an alias names counted wherever it stands."""
_PLAIN = "tag:yaml.org,2002:"
_FUNCTION = "!function"


@dataclass(frozen=True, slots=True)
class CodeReference:
    """A value ``!function MODULE.NAME`` of a task file: what it names is not looked for."""

    name: str
    """E.g. ``utils.process_docs``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The fields of a task file and of the files that it includes."""

    path: Path
    """The file that was asked for."""
    fields: Mapping[str, object]
    """Field -> value; the task's own where an included file has the field, too."""
    locations: Mapping[str, Location] = field(default_factory=dict[str, Location])
    """Field -> where it stands."""

    def make_error(self, name: str, problem: str, hint: str | None = None) -> BadInputError:
        """Return an error about a field that is present or missing."""
        location = self.locations.get(name) or Location(file=self.path, field=name)
        return location.make_error(problem, hint=hint)

    def get_text(self, name: str) -> str | None:
        """Return a text, or None where the field is absent or null.

        Raises:
            BadInputError: it is something else, or blank.
        """
        value = self.fields.get(name)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise self.make_error(name, "must be text")
        return value

    def code(self) -> Location | None:
        """Return where the first Python code of the task stands, or None: it is data."""
        fields = (name for name, value in self.fields.items() if _names_code(name, value))
        return next((self.locations[name] for name in fields), None)

    def notes(self) -> tuple[str, ...]:
        """Return every ignored field that the task has, with the reason."""
        return tuple(
            f"{_describe_field(name, self.fields[name])}: {why}"
            for name, why in IGNORED_FIELDS.items()
            if name in self.fields
        )


def find_task(path: Path) -> Path:
    """Return the file of a task: the path itself, or that of a name in the installed lm-eval.

    Nothing of lm-eval is imported: its folder of tasks is searched.

    Raises:
        MissingDependencyError: a name, and lm-eval is not installed.
        UnknownNameError: lm-eval has no such task.
    """
    name = str(path)
    if path.suffix in {".yaml", ".yml"} or "/" in name or path.exists():
        return path
    package = importlib.util.find_spec("lm_eval")
    if package is None or not package.submodule_search_locations:
        raise MissingDependencyError("lm-eval", "lm-eval")
    folder = Path(next(iter(package.submodule_search_locations))) / "tasks"
    files = {file: file.stem.replace("-", "_") for file in folder.rglob("*.yaml")}
    stem_wanted = name.replace("-", "_")
    # a task is mostly in a file of its name, or of the end of its name; else in any
    likely = [(s != stem_wanted, not stem_wanted.endswith(s), file) for file, s in files.items()]
    for *_, file in sorted(likely):
        if _is_task(file, name):
            return file
    raise UnknownNameError("task of lm-eval", name, set(files.values()))


def _is_task(file: Path, name: str) -> bool:
    declared = rb"(?m)^task:\s*[\"']?" + re.escape(name).encode() + rb"[\"']?\s*$"
    return re.search(declared, file.read_bytes()) is not None


def read_config(path: Path) -> Config:
    """Read a task file, with what it includes.

    Raises:
        BadInputError: it cannot be read, or has a field that is not understood.
        MissingDependencyError: ``pyyaml`` is not installed.
    """
    config = _read_config(path, (), {})
    for name in config.fields:
        if name in REFUSED_FIELDS:
            raise config.make_error(
                name, REFUSED_FIELDS[name], "cotkit reads tasks as data: remove it"
            )
        if name not in HONOURED_FIELDS | LABEL_FIELDS | IGNORED_FIELDS.keys() | CODE_FIELDS:
            near = difflib.get_close_matches(name, HONOURED_FIELDS | IGNORED_FIELDS.keys(), n=1)
            hint = f"did you mean {near[0]}?" if near else "remove it"
            raise config.make_error(name, "unknown field", hint)
    return config


def _names_code(name: str, value: object) -> bool:
    """Return whether a field holds code, at any depth."""
    if isinstance(value, dict):
        return any(_names_code("", item) for item in cast("dict[object, object]", value).values())
    if isinstance(value, list):
        return any(_names_code("", item) for item in cast("list[object]", value))
    return isinstance(value, CodeReference) or (name in CODE_FIELDS and value is not None)


def _describe_field(name: str, value: object) -> str:
    keys = (
        ", ".join(map(str, cast("dict[object, object]", value))) if isinstance(value, dict) else ""
    )
    return f"{name} ({keys})" if keys else name


def _read_config(path: Path, above: tuple[Path, ...], files: dict[Path, Config]) -> Config:
    """Read a file and what it includes; ``files``: those that were read before, by full path."""
    if (earlier := files.get(path.resolve())) is not None:
        return earlier
    config = _read_one_file(path)
    files[path.resolve()] = config
    if sum(file.stat().st_size for file in files) > _MAX_BYTES:
        raise config.make_error("include", f"all files are longer than {_MAX_BYTES >> 10} KiB")
    includes = config.fields.get("include")
    if includes is None:
        return config
    names = cast("list[object]", includes) if isinstance(includes, list) else [includes]
    fields, locations = dict(config.fields), dict(config.locations)
    for name in names:  # what is there already wins: the file itself, then the first included
        if not isinstance(name, str):
            raise config.make_error("include", f"must be a path of YAML, not {name!r}")
        target = path.parent / name
        if target.resolve() in {file.resolve() for file in (*above, path)}:
            raise config.make_error("include", f"{name} includes itself")
        if not target.is_file():
            raise config.make_error(
                "include", f"no such file: {target}", "paths are relative to this file"
            )
        other = _read_config(target, (*above, path), files)
        fields = {**other.fields, **fields}
        locations = {**other.locations, **locations}
    files[path.resolve()] = Config(path=path, fields=fields, locations=locations)
    return files[path.resolve()]


def _read_one_file(path: Path) -> Config:
    try:
        import yaml
    except ImportError:
        raise MissingDependencyError("pyyaml", "lm-eval-tasks") from None
    hint = "--bench lm-eval:./my-task.yaml"
    place = Location(file=path, hint=hint)
    text = decode(read_bytes(path, limit=_MAX_BYTES, hint=hint), place)
    if sum(map(text.count, ",[{\n")) > _MAX_VALUES:
        raise place.make_error(f"more than {_MAX_VALUES:,} lines and values")
    steps = (1 if bracket in "[{" else -1 for bracket in re.findall(r"[\[\]{}]", text))
    if max(itertools.accumulate(steps), default=0) > MAX_DEPTH:  # the parser would be slow
        raise place.make_error(f"not YAML: more than {MAX_DEPTH} levels within each other")
    try:
        loader = _make_loader(text)
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise BadInputError(path, "not a task", hint="a task is fields, e.g. doc_to_text: ...")
        _check_tree(path, root)
        keys = [key for key, _ in root.value]
        fields = cast("dict[object, object]", loader.construct_document(root))
    except yaml.MarkedYAMLError as broken:
        mark = broken.problem_mark
        line = mark.line + 1 if mark else None
        raise BadInputError(path, f"not YAML: {broken.problem}", line=line) from broken
    except (yaml.YAMLError, ValueError, RecursionError) as broken:
        raise BadInputError(path, f"not YAML: {first_line(broken)}") from broken
    locations: dict[str, Location] = {}
    for key in keys:
        name = str(key.value)
        location = Location(file=path, line=key.start_mark.line + 1, field=name)
        if name in locations:
            raise location.make_error("stands twice")
        locations[name] = location
    return Config(path=path, fields={str(k): v for k, v in fields.items()}, locations=locations)


def _make_loader(text: str) -> yaml.SafeLoader:
    """Return a loader of plain data, and of the names of functions."""
    import yaml

    class Loader(yaml.SafeLoader):
        """One of its own: constructors belong to the class."""

    def construct(loader: yaml.SafeLoader, node: yaml.Node) -> CodeReference:
        return CodeReference(str(loader.construct_scalar(cast("yaml.ScalarNode", node))))

    Loader.add_constructor(_FUNCTION, construct)
    return Loader(text)


def _check_tree(path: Path, root: yaml.Node) -> None:
    """Refuse what :func:`_check_node` refuses, and what grows beyond all bounds.

    A chain of aliases doubles what it names at every step.
    """
    sizes: dict[int, int] = {}

    def measure(node: yaml.Node, depth: int) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = 0
            children = _check_node(path, node, depth)
            sizes[id(node)] = 1 + sum(measure(child, depth + 1) for child in children)
        elif sizes[id(node)] == 0:
            raise _node_error(path, node, "an alias names what it stands in")
        if sizes[id(node)] > _MAX_VALUES:
            problem = f"more than {_MAX_VALUES:,} values, what aliases name counted"
            raise _node_error(path, node, problem)
        return sizes[id(node)]

    measure(root, 0)


def _check_node(path: Path, node: yaml.Node, depth: int) -> list[yaml.Node]:
    """Refuse what is neither plain data nor ``!function``, or said twice; return what it holds.

    The names of the task's own fields are checked where they are read.
    """
    import yaml

    if node.tag == _FUNCTION and isinstance(node, yaml.ScalarNode):
        return []
    if not node.tag.startswith(_PLAIN) or node.tag.startswith(f"{_PLAIN}python"):
        value = f" {node.value[:80]}" if isinstance(node, yaml.ScalarNode) else ""
        problem = f"{node.tag.removeprefix(_PLAIN)}{value} runs Python code"
        hint = "write it as a template, or make a benchmark with cotkit new benchmark"
        raise _node_error(path, node, problem, f"cotkit reads tasks as data: {hint}")
    if node.tag in _NUMBERS and len(node.value) > MAX_DIGITS:
        raise _node_error(path, node, f"{node.value[:20]}... is too long a number")
    if depth > MAX_DEPTH:
        raise _node_error(path, node, f"more than {MAX_DEPTH} levels within each other")
    if isinstance(node, yaml.SequenceNode):
        return node.value
    if not isinstance(node, yaml.MappingNode):
        return []
    names: set[tuple[str, str]] = set()
    for key, _ in node.value if depth else ():
        if isinstance(key, yaml.ScalarNode):
            if (key.tag, key.value) in names:
                raise _node_error(path, key, f"{key.value[:80]!r} stands twice in one object")
            names.add((key.tag, key.value))
    return [child for pair in node.value for child in pair]


def _node_error(
    path: Path, node: yaml.Node, problem: str, hint: str | None = None
) -> BadInputError:
    return BadInputError(path, problem, line=node.start_mark.line + 1, hint=hint)


_NUMBERS = {f"{_PLAIN}int", f"{_PLAIN}float"}


# The rows of a task: local files that it names, or a data set of the hub.


_LOCAL = {"json", "parquet"}
_FIRST_BYTES = 64


def read_rows(config: Config, split: str) -> tuple[Record, ...]:
    """Read the rows of a split.

    Raises:
        BadInputError: the task names its data in a way that is not read, or a file is not as it
            must be.
        MissingDataError: a data set of the hub that is neither here nor to be had.
    """
    source = config.get_text("dataset_path")
    if source is None:
        raise config.make_error(
            "dataset_path", "missing", "json, with dataset_kwargs: {data_files: ...}"
        )
    options = _loader_options(config)
    if source in _LOCAL:
        return tuple(
            row for path in _data_files(config, options, split) for row in _read_data_file(path)
        )
    if options or source.startswith((".", "/")) or source.count("/") > 1 or Path(source).suffix:
        raise config.make_error(
            "dataset_path",
            f"{source!r} is neither json, parquet nor a data set of the hub",
            "dataset_path: json, with dataset_kwargs: {data_files: ...}",
        )
    paths = _fetch_from_hub(config, source, split)
    return tuple(itertools.chain.from_iterable(map(read_records, paths)))


def _loader_options(config: Config) -> Mapping[str, object]:
    value = config.fields.get("dataset_kwargs")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise config.make_error("dataset_kwargs", "must be fields", "data_files: problems.jsonl")
    options = dict(cast("dict[str, object]", value))
    if options.pop("trust_remote_code", False):
        raise config.make_error(
            "dataset_kwargs",
            "trust_remote_code runs the data set's Python code",
            "save its rows as JSON lines and name them in data_files",
        )
    if unknown := options.keys() - {"data_files"}:
        raise config.make_error(
            "dataset_kwargs", f"cannot honour {min(map(str, unknown))}", "only data_files"
        )
    return options


def _data_files(config: Config, options: Mapping[str, object], split: str) -> list[Path]:
    value = options.get("data_files")
    by_split: dict[str, object] = {"train": value}  # as the datasets package names a lone split
    if isinstance(value, dict):
        by_split = cast("dict[str, object]", value)
    if value is None or split not in by_split:
        splits = ", ".join(map(str, by_split)) if value is not None else "none"
        raise config.make_error(
            "dataset_kwargs", f"no data_files of split {split!r}", f"splits: {splits}"
        )
    names = by_split[split]
    files: list[Path] = []
    for name in cast("list[object]", names) if isinstance(names, list) else [names]:
        if not isinstance(name, str) or "://" in name or "*" in name:
            problem = f"{name!r} is not the path of one local file"
            raise config.make_error("dataset_kwargs", problem, "fetch it, and name it by its path")
        places = [config.path.parent / name, Path(name)]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            places_tried = " or ".join(dict.fromkeys(map(str, places)))
            raise config.make_error("dataset_kwargs", f"no such file: {places_tried}")
        files.append(path)
    return files


def _read_data_file(path: Path) -> tuple[Record, ...]:
    """Read parquet, JSON lines, or one JSON list."""
    with path.open("rb") as file:
        start = file.read(_FIRST_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    return read_task(path).examples if start.startswith(b"[") else read_records(path)


def _fetch_from_hub(config: Config, source: str, split: str) -> tuple[Path, ...]:
    """Return the files of a split; a subset ``main`` is the whole set."""
    subset = config.get_text("dataset_name")
    folder, file = source.rpartition("/")[2], name_file(subset, split)
    hub = HubSplit(folder=folder, repo=source, config=subset, split=split, file=file)
    try:
        return find_split(hub).paths
    except MissingDataError as missing:
        raise MissingDataError(
            missing.message,
            hint="put it there, or name files of your own: dataset_path: json, with "
            "dataset_kwargs: {data_files: ...}",
        ) from missing


# The templates of a task, rendered for one row: strict and sandboxed.


_LIST = re.compile(r"\[.*\]", re.DOTALL)
_MAX_LIST = 100_000
"""Characters of a text that may write a list; choices and targets are far shorter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One ``doc_to_...`` of a task: the name of a field of the rows, or a Jinja template."""

    config: Config
    """The task, for errors."""
    name: str
    """The task's field, e.g. ``doc_to_text``."""
    source: str
    """What it says."""

    def is_field(self, row: Record) -> bool:
        """Return whether it names a field of this row; then it is no template."""
        return self.source in row.fields

    def render(self, row: Record) -> object:
        """Return the field of that name as it is, or the rendered text.

        Raises:
            BadInputError: the row has no such field, or the template fails on it; names both.
        """
        if self.is_field(row):
            return row.fields[self.source]
        try:
            return render(self.source, row.fields)
        except WorkerError as failure:
            if failure.kind == "template":
                problem = f"not a template: {failure}"
                raise self.config.make_error(self.name, problem) from failure
            hint = (
                f"it has: {', '.join(map(str, row.fields))}"
                if failure.kind == "undefined"
                else None
            )
            problem = f"{Path(row.file).name}:{row.number}: {failure}"
            raise self.config.make_error(self.name, problem, hint) from failure

    def render_items(self, row: Record) -> list[object]:
        """Return the value or, where it is a list or a rendered text that writes one, its items.

        Raises:
            BadInputError: as :meth:`render`.
        """
        value = self.render(row)
        may_be_list = isinstance(value, str) and len(value) <= _MAX_LIST and not self.is_field(row)
        if may_be_list and _LIST.fullmatch(str(value)):
            with contextlib.suppress(SyntaxError, ValueError, MemoryError, RecursionError):
                value = ast.literal_eval(str(value))  # it may only look like a list
        return list(cast("list[object]", value)) if isinstance(value, list) else [value]
