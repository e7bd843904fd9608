"""A key goes only where its owner meant, whatever a folder, a store or a server says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import cotkit
from cotkit.backends._hosted.addresses import address_warnings, foreign_address
from cotkit.backends._openai.services import load_services
from cotkit.backends.hf import workers
from cotkit.inputs import is_below
from cotkit.models.prices import price_of
from cotkit.store import Store
from cotkit.types import BackendInfo
from tests.conftest import Cotkit, Ended, Sums
from tests.fake_api import Answer, FakeApi

KEY = "planted7zebra-5Qx-secret"
VARIABLES = ("OPENAI", "ANTHROPIC", "SRV", "GROQ", "GEMINI", "GOOGLE", "COHERE", "CO")


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        for end in ("API_KEY", "BASE_URL", "CUSTOM_HEADERS"):
            monkeypatch.delenv(f"{name}_{end}", raising=False)


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi() as server:
        yield server


SHORT = ("--limit", "1", "--strategy", "zero-shot-cot")


def got_key(*servers: FakeApi) -> bool:
    return any(KEY in str(seen.headers) for api in servers for seen in (*api.seen, *api.looks))


@dataclass(frozen=True, kw_only=True)
class Folder:
    """What a stranger's ``.env`` says, and what is in the user's environment."""

    model: str
    env: str
    dotenv: str
    args: tuple[str, ...] = ()


FOLDERS = {
    "openai": Folder(model="openai/gpt-4o-mini", env="OPENAI_API_KEY", dotenv="OPENAI_BASE_URL"),
    "openai headers": Folder(
        model="openai/gpt-4o-mini",
        env="OPENAI_CUSTOM_HEADERS",
        dotenv="OPENAI_API_KEY=theirs\nOPENAI_BASE_URL",
    ),
    "anthropic": Folder(
        model="anthropic/claude-haiku-4-5", env="ANTHROPIC_API_KEY", dotenv="ANTHROPIC_BASE_URL"
    ),
    "anthropic headers": Folder(
        model="anthropic/claude-haiku-4-5",
        env="ANTHROPIC_CUSTOM_HEADERS",
        dotenv="ANTHROPIC_API_KEY=theirs\nANTHROPIC_BASE_URL",
    ),
    "a server": Folder(model="openai-api/srv/m", env="SRV_API_KEY", dotenv="SRV_BASE_URL"),
    "a service": Folder(model="groq/m", env="GROQ_API_KEY", dotenv="export GROQ_BASE_URL"),
    "a service's other key": Folder(
        model="gemini/m", env="GOOGLE_API_KEY", dotenv="GEMINI_BASE_URL"
    ),
    "a header": Folder(
        model="openai-api/srv/m",
        env="TEAM_TOKEN",
        dotenv="SRV_BASE_URL",
        args=("--model-args", """headers='{"X-Team":"$TEAM_TOKEN"}'"""),
    ),
    "a bearer header": Folder(
        model="openai-api/srv/m",
        env="TEAM_TOKEN",
        dotenv="SRV_API_KEY=theirs\nSRV_BASE_URL",
        args=("--model-args", """headers='{"Authorization":"Bearer $TEAM_TOKEN"}'"""),
    ),
}


@pytest.mark.parametrize("folder", FOLDERS.values(), ids=FOLDERS)
def test_what_a_folder_says_gets_no_key_until_the_user_says_so(
    folder: Folder, api: FakeApi, command: Cotkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_headers = folder.env.endswith("CUSTOM_HEADERS")
    monkeypatch.setenv(folder.env, f"X-Gateway: {KEY}" if is_headers else KEY)
    url = api.url if "ANTHROPIC" in folder.dotenv else f"{api.url}/v1"
    Path(".env").write_text(f"{folder.dotenv}={url}\n", encoding="utf-8")
    asked = ("compare", "--model", folder.model, *SHORT, *folder.args)
    for arguments in (asked, ("plan", *asked[1:])):
        refused = command(*arguments)
        assert refused.code == 2, refused.err
        assert f"your environment's {folder.env} would be sent there" in refused.err
        assert f"--trust-address {url}" in refused.err
    assert command(*asked, "--trust-address", f"{url}.evil").code == 2
    assert not api.seen
    assert not api.looks
    answered = command(*asked, "--trust-address", url)
    if folder.env == "GOOGLE_API_KEY":  # at an address of one's own a service has one key alone
        assert not got_key(api)
        return
    assert answered.code == 0, answered.err
    assert got_key(api)


def test_a_proxy_of_the_folder_is_none(
    api: FakeApi, command: Cotkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeApi() as proxy:
        lines = [f"{name}={proxy.url}" for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY")]
        Path(".env").write_text("\n".join(lines), encoding="utf-8")
        monkeypatch.setenv("SRV_API_KEY", KEY)
        args = ("--model-args", f"base_url={api.url}/v1")
        assert command("compare", "--model", "openai-api/srv/m", *SHORT, *args).code == 0
        assert got_key(api)
        assert not got_key(proxy)
        assert not proxy.seen


# Redirects.


@pytest.mark.parametrize(
    ("model", "status"),
    [
        *(("openai-api/srv/m", status) for status in (301, 302, 303, 307, 308)),
        *((model, 307) for model in ("openai/gpt-4o-mini", "anthropic/claude-haiku-4-5")),
    ],
)
def test_a_redirect_to_another_server_takes_no_key_along(
    model: str, status: int, api: FakeApi, command: Cotkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "SRV_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, KEY)
    root = "" if model.startswith("anthropic") else "/v1"
    with FakeApi() as other:
        api.script = lambda _body, _n: Answer(
            status=status, text="moved", headers={"location": f"{other.url}/v1/elsewhere"}
        )
        ended = command(
            "compare", "--model", model, *SHORT, "--model-args", f"base_url={api.url}{root}"
        )
        assert ended.code == 69, ended.err
        assert f"sends calls on to {other.url}" in ended.err
        assert "base_url=" in ended.err
        assert got_key(api)
        assert len(api.seen) <= 2, "one of each arm: every other call would meet the same"
        assert not other.seen
        assert not other.looks


def test_a_redirect_within_a_server_is_followed(
    api: FakeApi, command: Cotkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRV_API_KEY", KEY)
    api.script = lambda _body, n: (
        Answer() if n else Answer(status=307, text="", headers={"location": "/v1/chat/completions"})
    )
    args = ("--model-args", f"base_url={api.url}/v1")
    assert command("compare", "--model", "openai-api/srv/m", *SHORT, *args).code == 0


# What is said of an address.


def info(backend: str, model: str, url: str | None) -> BackendInfo:
    settings = {} if url is None else {"base_url": url}
    return BackendInfo(backend=backend, model=model, fingerprint="f", settings=settings)


@pytest.mark.parametrize(
    ("backend", "model", "url", "is_foreign"),
    [
        ("openai", "gpt", "https://api.openai.com/v1", False),
        ("openai", "gpt", "https://api.openai.com:443/v1", False),
        ("openai", "gpt", "http://api.openai.com/v1", True),
        ("openai", "gpt", "https://api.openai.com.evil/v1", True),
        ("openai", "gpt", "https://api.openai.com:444/v1", True),
        ("openai", "gpt", "https://eu.api.openai.com/v1", True),
        ("anthropic", "claude", "https://api.anthropic.com", False),
        ("anthropic", "claude", "http://127.0.0.1:8000", True),
        ("openai-api", "groq/m", "https://api.groq.com/openai/v1", False),
        ("openai-api", "groq/m", "https://api.groq.com/other/v1", True),
        ("openai-api", "groq/m", "https://api.openai.com/v1", True),
        ("openai-api", "vllm/m", "http://localhost:8000/v1", False),
        ("openai-api", "vllm/m", "http://localhost:8001/v1", True),
        ("openai-api", "my-own/m", "http://localhost:8000/v1", True),
        ("openai-api", "azure/d", "https://me.openai.azure.com/openai/v1", False),
        ("openai-api", "azure/d", "https://me.openai.azure.com.evil/openai/v1", True),
        ("litellm", "groq/m", "litellm", False),
        ("litellm", "groq/m", "https://evil/v1", True),
        ("inspect", "openai/gpt", "https://api.openai.com/v1", False),
        ("hf", "m", None, False),
    ],
)
def test_what_is_no_providers_own_address(
    backend: str, model: str, url: str | None, is_foreign: bool
) -> None:
    found = foreign_address(info(backend, model, url))
    assert found == (url if is_foreign else None)


def test_services_of_the_table_are_encrypted_unless_they_are_this_machine() -> None:
    for service in load_services().values():
        start = "http://localhost:" if service.is_local else "https://"
        assert service.base_url is None or service.base_url.startswith(start), service.name


@pytest.mark.parametrize(
    ("url", "warns"),
    [
        ("http://10.0.0.3:8000/v1", True),
        ("http://gateway/v1", True),
        ("http://localhost.evil/v1", True),
        ("http://127.0.0.1.evil/v1", True),
        ("http://127.0.0.1:8000/v1", False),
        ("http://[::1]:8000/v1", False),
        ("http://localhost/v1", False),
        ("https://gateway/v1", False),
    ],
)
def test_what_is_not_encrypted_is_warned_of(url: str, warns: bool) -> None:
    said = " ".join(address_warnings(info("openai-api", "srv/m", url)))
    assert ("is not encrypted" in said) is warns
    assert url in said


@pytest.mark.parametrize(
    ("url", "base", "is_inside"),
    [
        ("https://a.b/v1", "https://a.b", True),
        ("https://A.B/v1/", "https://a.b/v1", True),
        ("https://a.b:443/v1", "https://a.b/v1", True),
        ("https://a.b/v10", "https://a.b/v1", False),
        ("https://a.b/v1/../v2", "https://a.b/v1", False),
        ("https://a.b.c/v1", "https://a.b", False),
        ("https://a.b@c/v1", "https://a.b", False),
        ("http://a.b/v1", "https://a.b", False),
        ("https://a.b:x/v1", "https://a.b", False),
        ("", "", False),
    ],
)
def test_an_address_is_compared_by_its_parts(url: str, base: str, is_inside: bool) -> None:
    assert is_below(url, base) is is_inside


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com.evil/v1",
        "http://api.openai.com/v1",
        "https://api.openai.com:8443/v1",
        "https://api.openai.com@evil/v1",
    ],
)
def test_a_price_is_of_the_providers_own_address(url: str) -> None:
    assert price_of("openai", "gpt-4o-mini", base_url="https://api.openai.com/v1") is not None
    assert price_of("openai", "gpt-4o-mini", base_url=url) is None


def test_an_address_is_named_before_the_first_call_and_in_every_report(
    api: FakeApi, command: Cotkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRV_API_KEY", KEY)
    url = f"{api.url}/v1"
    asked = ("compare", "--model", "openai-api/srv/m", *SHORT, "--model-args", f"base_url={url}")
    seen_before: list[int] = []

    def answer(_body: object, _n: int) -> Answer:
        seen_before.append(len(api.seen))
        return Answer()

    api.script = answer
    words = f"asked at {url}, no provider's own address"
    first = command(*asked, "--display", "none")
    assert f"prompts, and the key if there is one, go to {url}" in first.err
    assert words in " ".join(first.out.split())
    for name in ("markdown", "latex"):
        assert "own address" in " ".join(command(*asked, "--format", name).out.split())
    assert json.loads(command(*asked, "--format", "json").out)["base_url"] == url
    assert url in command(*asked, "--format", "csv").out
    assert f"base_url={url}" in command(*asked, "--format", "lm-eval").out
    again = command(*asked)
    assert "go to" not in again.err, "nothing is asked"
    planned = command("plan", *asked[1:-1], f"base_url={url}")
    assert f"go to {url}" in planned.err


def test_a_page_names_the_address(
    api: FakeApi, command: Cotkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("SRV_API_KEY", KEY)
    url = f"{api.url}/v1"
    args = ("--model-args", f"base_url={url}", "--html", "one.html")
    assert command("compare", "--model", "openai-api/srv/m", *SHORT, *args).code == 0
    assert f"asked at {url}" in Path("one.html").read_text()
    assert command("compare", "--model", "simulated/8b", *SHORT).code == 0
    with Store(Path("logs/cotkit.db")) as store:
        runs = [run.id for run in store.runs()]
    assert command("report", *runs, "--html", "two.html").code == 0
    assert f"asked at {url}" in Path("two.html").read_text()


def test_a_ladder_names_the_addresses_of_its_models(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRV_BASE_URL", f"{api.url}/v1")
    (scale,) = cotkit.scale(
        ["openai-api/srv/a-7b", "simulated/8b"], "zero-shot-cot", Sums(n=2), x="ordinal"
    )
    text = " ".join(cotkit.render([scale], "table").split())
    assert f"srv/a-7b asked at {api.url}/v1" in text
    (row, _) = json.loads(cotkit.render([scale], "json"))["runs"]
    assert row["base_url"] == f"{api.url}/v1"


# A store may be a stranger's.


def interrupted(command: Cotkit, api: FakeApi, *arguments: str) -> Ended:
    """Make a run of which one attempt failed, so that it can be resumed."""
    api.script = lambda _body, _n: Answer(status=500, text="it broke")
    ended = command("compare", *SHORT, "--max-tries", "1", *arguments)
    assert ended.code == 75, ended.err
    api.script = None
    api.seen.clear()
    return ended


def latest_run() -> str:
    with Store(Path("logs/cotkit.db")) as store:
        return store.runs()[0].id


def test_resume_asks_no_address_of_the_store_until_it_is_named_again(
    api: FakeApi, command: Cotkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRV_API_KEY", KEY)
    url = f"{api.url}/v1"
    args = ("--model", "openai-api/srv/m", "--model-args", f"base_url={url}")
    hint = interrupted(command, api, *args)
    assert f"--trust-address {url}" in hint.err, "the hint holds all that is needed"
    refused = command("resume", latest_run())
    assert refused.code == 2
    assert f"asks {url}" in refused.err
    assert f"--trust-address {url}" in refused.err
    assert not api.seen
    assert command("resume", latest_run(), "--trust-address", "http://127.0.0.1:9").code == 2
    assert not api.seen
    assert command("resume", latest_run(), "--trust-address", url).code == 0
    assert got_key(api)


@pytest.mark.parametrize("name", ["TEAM_TOKEN", "AWS_SECRET_ACCESS_KEY"])
def test_resume_sends_no_variable_that_a_stored_header_names(
    name: str, api: FakeApi, command: Cotkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, KEY)
    headers = json.dumps({"X-Team": f"${name}"}, separators=(",", ":"))
    args = f"base_url={api.url}/v1,headers='{headers}'"
    interrupted(command, api, "--model", "openai-api/vllm/m", "--model-args", args)
    assert command("resume", latest_run()).code == 2
    assert not api.seen
    assert command("resume", latest_run(), "--trust-address", api.url).code == 0
    assert got_key(api)


MINE = (Path(__file__).parent.parent / "examples" / "custom_strategy.py").read_text()


def test_python_files_that_a_store_names_are_not_run_until_the_user_says_so(
    api: FakeApi, command: Cotkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRV_BASE_URL", f"{api.url}/v1")
    Path("custom_strategy.py").write_text(MINE)
    arguments = ("--model", "openai-api/srv/m", "--strategy", "./custom_strategy.py")
    api.script = lambda _body, _n: Answer(status=500, text="it broke")
    ended = command("compare", "--limit", "1", "--max-tries", "1", *arguments)
    assert ended.code == 75
    assert "--trust-code" in ended.err
    api.script = None
    run = latest_run()
    commands = [
        ("resume", run),
        ("report", run, "--html", "x.html"),
        ("scale", "--runs", f"{run},{run}"),
    ]
    for arguments in commands:
        refused = command(*arguments)
        assert refused.code == 2
        assert "runs ./custom_strategy.py" in refused.err
        assert "--trust-code" in refused.err
    assert command("resume", run, "--trust-code").code == 0


def test_a_permission_to_run_code_is_not_taken_from_a_store(
    api: FakeApi, command: Cotkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRV_BASE_URL", f"{api.url}/v1")
    allowed = ("--confirm-run-unsafe-code", "--sandbox", "none")
    hint = interrupted(command, api, "--model", "openai-api/srv/m", *allowed)
    assert " ".join(allowed) in hint.err
    for options in ((), allowed[:1], allowed[1:], (*allowed[:2], "auto")):
        refused = command("resume", latest_run(), *options)
        assert refused.code == 2, options
        assert "a store may be a stranger's" in refused.err
    assert not api.seen
    assert command("resume", latest_run(), *allowed).code == 0


EVIL = "from pathlib import Path\nPath('it-ran').touch()\n"


def test_a_file_of_completions_runs_no_code_that_it_names(command: Cotkit) -> None:
    Path("evil.py").write_text(EVIL)
    rows = [{"id": "gsm-mini/1", "text": "The answer is 1.", "arm": "./evil.py"}]
    Path("made.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command("score", "made.jsonl", "--bench", "gsm-mini")
    assert not Path("it-ran").exists()


def test_no_module_of_the_working_folder_is_imported() -> None:
    for name in ("tomllib", "typer", "json", "pip", "torch", "openai"):
        Path(f"{name}.py").write_text(EVIL)
    done = subprocess.run(
        [sys.executable, "-m", "cotkit", "compare", "--model", "simulated/8b", *SHORT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not Path("it-ran").exists()
    for more in (("-c", "import tomllib"), ("-m", "pip", "--version")):
        subprocess.run((*workers._COMMAND[:2], *more), capture_output=True, check=True)
        assert not Path("it-ran").exists(), more
