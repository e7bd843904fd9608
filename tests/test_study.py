"""Study files: every option of compare and scale, located errors, what no file may choose."""

from __future__ import annotations

import csv
import json
import shutil
import string
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from cotkit.cli import app
from cotkit.cli.study import Study, list_arguments, options_by_key, read_study, write_study
from cotkit.errors import Location
from cotkit.interop.published import find_table, load_tables
from cotkit.models.catalogue import find_by_last_parts
from cotkit.registry import load_class, parse_spec
from cotkit.types import BackendInfo
from cotkit.workflows.ladder import rung_of
from tests.conftest import REPOSITORY, Cotkit, Ended

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
FREE = 'model = "simulated/8b"\nlimit = 4\ndisplay = "none"\n'


def write(text: str, name: str = "study.toml") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def n_to_make(plan: str) -> list[str]:
    """Completions to make by the last row of the table of each ladder."""
    return [line.split()[2] for line in plan.splitlines() if line.startswith("all  ")]


def test_a_study_is_its_command_and_running_it_again_makes_nothing(command: Cotkit) -> None:
    name = write(FREE + 'strategy = ["cot", "zero-shot-cot"]\nformat = "json"\nhtml = "a.html"\n')
    first = command("run", name)
    assert first.code == 0
    assert f"study {name}: cotkit compare --model=simulated/8b --limit=4" in first.err
    page = Path("a.html").read_bytes()
    asked = ("--model", "simulated/8b", "--limit", "4", "--strategy", "cot,zero-shot-cot")
    same = command("compare", *asked, "--format", "json", "--display", "none")
    again = command("run", name)
    assert first.out == again.out == same.out
    assert Path("a.html").read_bytes() == page
    plan = command("run", name, "--plan", "--strategy", "cot")
    assert "in the store, 0 to make" in plan.out
    assert "zero-shot" not in plan.out


def test_what_follows_the_study_goes_before_it(command: Cotkit) -> None:
    name = write(FREE + 'bench = ["gsm-mini"]\nformat = "json"\n')
    done = command("run", name, "--bench", "arithmetic", "--limit", "3", "-f", "csv")
    assert done.code == 0
    assert "arithmetic" in done.out.splitlines()[1]
    ladder = command("run", name, "--models", "simulated/1b,simulated/8b")
    assert "two, not" not in ladder.err
    assert "cotkit compare --limit=4" in ladder.err
    family = command("run", write(FREE + "gate = true\n"), "--family", "simulated", "--plan")
    assert "without effect in cotkit scale: gate" in family.err


def test_families_benchmarks_and_seeds_are_one_report(command: Cotkit) -> None:
    name = write(
        'models = ["simulated/1b", "simulated/100b"]\nbench = ["arithmetic", "gsm-mini"]\n'
        'strategy = "cot"\nexemplar_seeds = [0, 1]\nlimit = 4\ndisplay = "none"\nfull = true\n'
    )
    done = command("run", name)
    assert done.code == 0
    assert "cotkit scale" in done.err
    assert "means over 2 draws (exemplar seed 0; exemplar seed 1), problem by problem" in " ".join(
        done.out.split()
    )
    assert n_to_make(command("run", name, "--plan").out) == ["0"]
    both = command("run", name, "--family", "simulated", "--family", "simulated:ceiling=0.2")
    assert both.code == 0
    assert "arithmetic, simulated:ceiling=0.2" in both.out


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ('modle = "x"', "1:modle", "did you mean model"),
        (f"{FREE}margin = 'two'", "4:margin", "not a valid float"),
        (f"{FREE}strategy = 'cott'", "4:strategy", "did you mean cot"),
        (f"{FREE}strategy = ['cot', 'cot:foo=1']", "4:strategy", "known: calculator"),
        (f"{FREE}bench = ['gsm-mini', 'gms8k']", "4:bench", "did you mean gsm8k"),
        (f"{FREE}# more\n\n[gen-kwargs]\nfoo = 1", "6:gen-kwargs", "unknown generation parameter"),
        ('model = "simulated/8b"\nlimit = -5', "2:limit", "a number, or all"),
        ('system = """\nlimit = 5\n"""\nlimit = "5x"', "4:limit", "a number, or all"),
        ('model = "a,limit = 5"\nfamily = "x"', "1:model", "unknown option of cotkit scale"),
        ("family = ['simulatedd']", "1:family", "did you mean simulated?"),
        ("command = 'comparee'", "1:command", "compare, scale"),
        ("x = ]", "1", "no TOML"),
        (f"{FREE}full = 1", "4:full", "true or false"),
        (f"{FREE}seed = true", "4:seed", "a text or a number"),
        (f"{FREE}seed = 1.5", "4:seed", "not a valid int"),
        (f"{FREE}seed = [1, 2]", "4:seed", "a list?"),
        (f"{FREE}format = 'jsn'", "4:format", "not one of"),
        (f"{FREE}bench = []", "4:bench", "nothing is named"),
        (f"{FREE}bench = [['a']]", "4:bench", "no text and no number"),
        (f"{FREE}strategy = {{cot = 1}}", "4:strategy", "a table?"),
        (f"{FREE}seed = 2025-01-01", "4:seed", "no text and no number"),
        (f"{FREE}reader = 'flexibl'", "4:reader", "did you mean flexible"),
        (f"{FREE}bench = 'gsm-mini'\ntasks = 'arithmetic'", "5:tasks", "leave one out"),
        (f"{FREE}exemplar-seed = 1\nexemplar_seed = 1", "5:exemplar_seed", "leave one out"),
        (f"{FREE}[budget]\nusd = 2", "4:budget", "did you mean budget-usd"),
        (f"{FREE}store = 'postgresql://x'", "4:store", "write --store behind cotkit run FILE"),
        (f"{FREE}log_dir = 'x'", "4:log_dir", "write --log-dir behind"),
        (f"{FREE}track = 'jsonl:x'", "4:track", "a file may be a stranger's"),
        (f"{FREE}confirm-run-unsafe-code = true", "4:confirm-run-unsafe-code", "stranger's"),
        (f"{FREE}html = '/tmp/a.html'", "4:html", "not below the folder"),
        (f"{FREE}html = 'x/../../a.html'", "4:html", "not below the folder"),
        (f"{FREE}strategy = './x.py'", "4:strategy", "if you mean it: --trust-code"),
        (f"{FREE}bench = ['./x.py']", "4:bench", "--trust-code"),
        (
            'model = "openai-api/x"\nmodel-args = {base_url = "http://evil.example/v1"}',
            "2:model-args",
            "--trust-address http://evil.example/v1",
        ),
        (
            'family = "simulated"\nover = "openai-api/x:base_url=http://evil.example/v1"',
            "2:over",
            "--trust-address http://evil.example/v1",
        ),
        (
            'models = ["openai/x", "openai-api/x:base_url=http://evil.example/v1"]',
            "1:models",
            "--trust-address http://evil.example/v1",
        ),
    ],
)
def test_errors_name_file_line_and_key(text: str, place: str, hint: str, command: Cotkit) -> None:
    done = command("run", write(text))
    assert (done.code, done.out) == (65, "")
    last = done.err.splitlines()[-1]
    assert last.startswith(f"cotkit: study.toml:{place}: ")
    assert hint in last
    assert not Path("logs").exists()


def test_a_folder_no_file_no_study_and_no_option(command: Cotkit) -> None:
    assert "no such file" in command("run", "nope.toml").err
    assert "it is a folder" in command("run", ".").err
    assert "did you mean" in command("run", "study:wei2023").err
    assert command("run", write(FREE), "--limt", "5").code == 2
    assert "unexpected argument" in command("run", write(FREE), "more").err
    assert "comes first" in command("run", "--limit", "5").err


def test_save_writes_what_runs_again_to_the_same_bytes(command: Cotkit) -> None:
    asked = ("--models", "simulated/1b,simulated/8b", "--limit", "4", "--display", "none")
    first = command("scale", *asked, "--log-dir", "elsewhere", "--save", "mine.toml")
    assert first.code == 0
    assert "written: mine.toml" in first.err
    text = Path("mine.toml").read_text()
    assert 'command = "scale"' in text
    assert "# cotkit run mine.toml --log-dir=elsewhere" in text
    again = command("run", "mine.toml", "--log-dir", "elsewhere")
    assert again.out == first.out
    Path("other.toml").write_text("# my notes\n")
    kept = command("scale", *asked, "--save", "other.toml")
    assert "other.toml is there and is no study" in kept.err
    refused = command("compare", "--strategy", "cott", "--save", "new.toml")
    assert (refused.code, Path("new.toml").exists()) == (2, False)
    nowhere = command("compare", "--save", "nowhere/new.toml")
    assert (nowhere.code, "there is no folder nowhere" in nowhere.err) == (2, True)


TEXTS = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=12)
NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=6)


def values_of(option: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401 - click's
    if option.is_flag:
        return st.booleans()
    if option.type.name == "choice":
        return st.sampled_from([str(choice) for choice in option.type.choices])
    if option.type.name in {"int", "float"}:
        return st.integers() if option.type.name == "int" else st.floats(allow_nan=False)
    if option.type.name == "path":
        return NAMES
    if "MODEL=" in option.help:
        return st.dictionaries(TEXTS, st.integers(), min_size=1, max_size=2)
    return st.lists(TEXTS, min_size=1, max_size=2) if option.multiple else TEXTS


@given(st.data(), st.sampled_from(["compare", "scale"]))
def test_what_is_written_is_read_back(data: st.DataObject, name: str) -> None:
    refused = {"save", "store", "log-dir", "track", "sandbox", "executor", "accept-terms"}
    options = options_by_key(COMMANDS[name])
    refused |= {"confirm-run-unsafe-code", "tasks"}  # the last is another name of bench
    keys = sorted(k for k in options if k not in refused and not k.startswith(("ray-", "trust-")))
    chosen = data.draw(st.lists(st.sampled_from(keys), unique=True, max_size=5))
    study = Study(command=name, options={k: data.draw(values_of(options[k])) for k in chosen})
    text = write_study(study, head=["# a study"])
    assert read_study(text.encode(), Location(file="x"), COMMANDS).study == study
    assert all(isinstance(word, str) for word in list_arguments(study, COMMANDS[name]))


def test_seeds_of_samples_make_draws_and_greedy_ones_are_refused(command: Cotkit) -> None:
    asked = ("compare", "--model", "simulated/8b", "--limit", "6", "--display", "none")
    seeds = ("--sample-seeds", "0,1")
    done = command(*asked, "--strategy", "self-consistency:k=3", *seeds)
    assert done.code == 0
    assert "over 2 draws of 6 problems" in done.out
    assert "gain by sample seed  0: " in done.out
    both = command(*asked, "--strategy", "self-consistency:k=2", *seeds, "--exemplar-seeds", "0,1")
    assert "gain by draw  exemplar seed 0, sample seed 0: " in both.out
    greedy = command(*asked, "--strategy", "cot", *seeds)
    assert "sample seeds change nothing" in greedy.err
    ladder = ("scale", "--models", "simulated/1b,simulated/8b", "--limit", "4", "--display", "none")
    assert "sample seeds change nothing" in command(*ladder, *seeds).err
    mean = command(*ladder, "--strategy", "self-consistency:k=2", *seeds, "--full")
    assert "sample seed 0; sample seed 1" in " ".join(mean.out.split())


def test_a_size_that_nobody_knows_is_given(command: Cotkit) -> None:
    asked = ("--limit", "4", "--display", "none", "--format", "json")
    ladder = ("scale", "--models", "simulated/1b,simulated/8b", "--params", "simulated/8b=70B")
    done = command(*ladder, *asked)
    points = json.loads(done.out)["sizes"]
    assert [point["size"] for point in points] == [10**9, 7 * 10**10]
    runs = ",".join(run["run_id"] for run in json.loads(done.out)["runs"])
    again = command("scale", "--runs", runs, "--params", "simulated-1b=2B", "--format", "json")
    assert [point["size"] for point in json.loads(again.out)["sizes"]] == [2 * 10**9, 8 * 10**9]
    assert "unknown model of the ladder 'x'" in command(*ladder, "--params", "x=1B", *asked).err


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("vllm/Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-7B"),
        ("Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct"),
        ("qwen2.5:7b", "Qwen/Qwen2.5-7B"),
        ("accounts/x/models/qwen2.5-7b-instruct", "Qwen/Qwen2.5-7B-Instruct"),
        ("smollm2_135m", "smollm2-135m"),
        ("x/y/z", None),
        ("7B", None),
    ],
)
def test_a_served_model_is_known_by_the_last_parts_of_its_name(
    name: str, model: str | None
) -> None:
    entry = find_by_last_parts(name)
    assert (entry and entry.name) == model
    info = BackendInfo(backend="openai-api", model=name, fingerprint="x")
    assert (rung_of(info).n_params is not None) == (model is not None)
    assert rung_of(info, n_params=5).n_params == 5
    folder = replace(info, backend="hf", model=f"somewhere/{name}")
    assert rung_of(folder).n_params is None


# Papers.

STUDIES = sorted(path.stem for path in (REPOSITORY / "studies").glob("*.toml"))


def run_study(name: str, command: Cotkit, monkeypatch: pytest.MonkeyPatch, *more: str) -> Ended:
    """What a study says on two small simulated models, where nothing can be fetched."""
    data = REPOSITORY.parent / "shared" / "data"
    monkeypatch.setenv("COTKIT_DATA_DIR", str(data if data.is_dir() else Path.cwd()))
    for variable in ("HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nobody listens
    monkeypatch.setenv("COTKIT_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("COTKIT_CACHE_DIR", "cache")
    models = ("--models", "simulated/8b,simulated/100b", "--limit", "2")
    return command("run", f"study:{name}", *models, *more)


@pytest.mark.parametrize("name", STUDIES)
def test_a_papers_study_says_what_it_leaves_out_and_plans_the_rest(
    name: str, command: Cotkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run_study(name, command, monkeypatch, "--plan")
    left_out = [line for line in done.err.splitlines() if line.startswith("left out: ")]
    text = (REPOSITORY / "studies" / f"{name}.toml").read_text(encoding="utf-8")
    if done.code == 66:  # BBQ is not made here
        assert (name, done.out) == ("ganguli2023", "")
    else:
        assert done.code == 0, done.err
        benches = tomllib.loads(text)["bench"]
        assert name == "ganguli2023" or len(left_out) < len(benches)
        assert "cotkit plan" in done.err.splitlines()[len(left_out)]
        assert "all " in done.out


@pytest.mark.full
@pytest.mark.parametrize("name", STUDIES)
def test_a_papers_study_runs(name: str, command: Cotkit, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run_study(name, command, monkeypatch, "--display", "none", "--full")
    assert done.code == (66 if name == "ganguli2023" and not done.out else 0), done.err
    if name in {"wei2022", "kojima2022", "wang2022"}:
        assert "Published beside it" in done.out


def test_what_a_paper_found_stands_behind_the_curves_and_in_the_page(command: Cotkit) -> None:
    asked = ("--models", "simulated/8b,simulated/100b", "--bench", "coin-flips:people=2")
    done = command(
        *("run", "study:wei2022", *asked, "--limit", "2", "--display", "none"),
        *("--html", "page.html", "--no-samples", "--format", "json"),
    )
    assert done.code == 0
    rows = json.loads(done.out)["published"]
    lamda = {row["size"]: row["rate"] for row in rows if row["family"] == "LaMDA"}
    assert {420_000_000, 137_000_000_000} <= lamda.keys()
    page = Path("page.html").read_text(encoding="utf-8")
    assert "dotted: " in page
    assert "Wei et al. 2022" in page
    assert "did you mean wei2022" in command("scale", *asked, "--beside", "wei022").err
    assert "Published" not in command("scale", *asked, "--limit", "2", "--full").out


def test_studies_and_tables_name_what_there_is(command: Cotkit) -> None:
    listed = command("list", "studies").out
    assert all(name in listed for name in STUDIES)
    for table in load_tables().values():
        strategies = {row["strategy"] for row in published_rows(table.name)}
        benches = {row["bench"] for row in published_rows(table.name)}
        assert table.strategies_here.keys() <= strategies
        assert table.benches_here.keys() <= benches
        for spec in table.strategies_here.values():
            load_class("strategy", parse_spec(spec).name)
    for name in STUDIES:
        text = (REPOSITORY / "studies" / f"{name}.toml").read_text(encoding="utf-8")
        file = read_study(text.encode(), Location(file=name), COMMANDS)
        assert text.startswith("# ")
        assert "# Differs: " in text
        if table_name := file.study.options.get("beside"):
            find_table(str(table_name))


def published_rows(name: str) -> list[dict[str, str]]:
    with (REPOSITORY / "published" / f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.full
def test_the_example_study_writes_the_same_bytes_twice(command: Cotkit) -> None:
    shutil.copy(REPOSITORY / "examples" / "study.toml", "study.toml")
    first = command("run", "study.toml", "--limit", "4", "--display", "none")
    assert first.code == 0, first.err
    files = {
        path.name: path.read_bytes()
        for path in Path().rglob("*")
        if "study" in str(path) and path.is_file()
    }
    assert any(name.endswith(".pdf") for name in files)
    assert set(files) >= {"study.html", "study.csv", "study.tex"}
    again = command("run", "study.toml", "--limit", "4", "--display", "none")
    assert again.out == first.out
    assert all(
        path.read_bytes() == files[path.name] for path in Path().rglob("*") if path.name in files
    )
    plan = command("run", "study.toml", "--limit", "4", "--plan")
    assert n_to_make(plan.out) == ["0", "0"]
