"""A key reaches the server and nothing else: not the store, the output, an error, or any file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cotkit import cli
from cotkit.backends._hosted import keys, policy
from cotkit.errors import AccessError, BadInputError, UsageError
from tests.fake_api import Answer, FakeApi, Script

KEY = "planted7zebra-5Qx-secret"  # looks like no key, so that only knowing it hides it


@dataclass(frozen=True, kw_only=True)
class Provider:
    model: str
    variable: str
    address: str
    path: str


PROVIDERS = {
    "anthropic": Provider(
        model="anthropic/claude-haiku-4-5",
        variable="ANTHROPIC_API_KEY",
        address="ANTHROPIC_BASE_URL",
        path="",
    ),
    "openai": Provider(
        model="openai/gpt-4o-mini",
        variable="OPENAI_API_KEY",
        address="OPENAI_BASE_URL",
        path="/v1",
    ),
}
ECHO = f"refused the key {KEY} of Bearer {KEY}\nsee {KEY}"


def once(answer: Answer) -> Script:
    return lambda body, n_before: Answer() if n_before else answer


def always(answer: Answer) -> Script:
    return lambda body, n_before: answer


@pytest.fixture(params=sorted(PROVIDERS))
def provider(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Provider:
    monkeypatch.setattr(policy, "_FIRST_WAIT_S", 0.01)
    for one in PROVIDERS.values():
        monkeypatch.delenv(one.variable, raising=False)
        monkeypatch.delenv(one.address, raising=False)
    return PROVIDERS[request.param]


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi() as server:
        yield server


@dataclass(frozen=True, kw_only=True)
class Left:
    """What a command left behind."""

    code: int
    texts: dict[str, bytes]

    def assert_clean(self) -> None:
        for place, content in self.texts.items():
            assert KEY.encode() not in content, f"the key is in {place}"


Compare = Callable[..., Left]
"""``cotkit compare`` with these further arguments, in this process."""


@pytest.fixture
def compare(
    provider: Provider, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Compare:
    def run(*more: str) -> Left:
        command = ["cotkit", "compare", "--model", provider.model, "--limit", "2"]
        monkeypatch.setattr(sys, "argv", [*command, "--num-fewshot", "1", *more])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said, code = capfd.readouterr(), ended.value.code
        assert isinstance(code, int)
        said_bytes = {"out": said.out.encode(), "err": said.err.encode()}
        return Left(code=code, texts=written() | said_bytes)

    return run


def written() -> dict[str, bytes]:
    files = [path for path in Path.cwd().rglob("*") if path.is_file() and path.name != ".env"]
    return {str(path): path.read_bytes() for path in files}


def was_received(api: FakeApi) -> bool:
    return any(KEY in value for seen in api.seen for value in seen.headers.values())


@dataclass(frozen=True, kw_only=True)
class Case:
    place: str
    script: Script | None = None
    more: tuple[str, ...] = ()
    code: int


TWICE = ("--model-args", "max_tries=2")
CASES = {
    "success": Case(place="environment", code=0),
    "json": Case(place=".env", more=("--format", "json"), code=0),
    "401": Case(place="environment", script=always(Answer(status=401, text=ECHO)), code=77),
    "401 .env": Case(place=".env", script=always(Answer(status=401, text=ECHO)), code=77),
    "400": Case(place=".env", script=always(Answer(status=400, text=ECHO)), code=69),
    "404": Case(place="environment", script=always(Answer(status=404, text=ECHO)), code=66),
    "log 401": Case(
        place="environment",
        script=always(Answer(status=401, text=ECHO)),
        more=("--log-level", "debug", "--track", "jsonl:events.jsonl"),
        code=77,
    ),
    "log 500": Case(
        place=".env",
        script=always(Answer(status=500, text=ECHO)),
        more=("--log-level", "debug", "--track", "jsonl:events.jsonl", *TWICE),
        code=75,
    ),
    "html": Case(place=".env", script=once(Answer(body=f"<p>{ECHO}".encode())), code=0),
    "list": Case(
        place=".env", script=always(Answer(body=f'["{KEY}"]'.encode())), more=TWICE, code=75
    ),
    "give-up": Case(
        place="environment", script=always(Answer(status=500, text=ECHO)), more=TWICE, code=75
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_key_is_sent_and_left_nowhere(
    case: Case, provider: Provider, api: FakeApi, compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.script = case.script
    monkeypatch.setenv(provider.address, api.url + provider.path)
    if case.place == ".env":
        Path(".env").write_text(f"# mine\nexport {provider.variable}='{KEY}'  # secret\n")
    else:
        monkeypatch.setenv(provider.variable, KEY)
    left = compare(*case.more)
    assert was_received(api)
    left.assert_clean()
    assert left.code == case.code, left.texts["err"].decode()
    assert any(name.endswith("cotkit.db") for name in left.texts), "there was something to search"


def test_a_process_of_its_own_leaves_no_key_even_where_the_sdk_logs(
    provider: Provider, api: FakeApi
) -> None:
    settings = {
        provider.variable: KEY,
        provider.address: api.url + provider.path,
        "ANTHROPIC_LOG": "debug",
        "OPENAI_LOG": "debug",
    }
    command = [sys.executable, "-m", "cotkit", "compare", "--model", provider.model, "--limit", "1"]
    done = subprocess.run(
        command, capture_output=True, env=os.environ | settings, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    assert was_received(api)
    Left(code=0, texts=written() | {"out": done.stdout, "err": done.stderr}).assert_clean()


@pytest.mark.parametrize(
    "argument",
    [f"api_key={KEY}", f"base_url=http://me:{KEY}@127.0.0.1:9", f"base_url=http://h/?key={KEY}"],
)
def test_a_key_among_the_arguments_is_refused_and_not_kept(argument: str, compare: Compare) -> None:
    left = compare("--model-args", argument)
    assert left.code == 2
    left.assert_clean()


def test_a_missing_key_is_told_with_the_way_to_give_it(
    provider: Provider, compare: Compare
) -> None:
    left = compare()
    said = left.texts["err"].decode()
    assert left.code == 77
    assert f"{provider.variable} is set neither in the environment nor in .env" in said
    assert f"{provider.variable}=..." in said


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("K_API_KEY=abc", "abc"),
        ("export K_API_KEY=abc", "abc"),
        ("  K_API_KEY = abc  ", "abc"),
        ('K_API_KEY="a#b"', "a#b"),
        ("K_API_KEY='a#b' # why", "a#b"),
        ("K_API_KEY=a#b # why", "a#b"),
        ("# K_API_KEY=abc", None),
        ("K_API_KEY=", None),
        ('K_API_KEY=""', None),
        ("OTHER_KEY=abc", None),
        ("MY_K_API_KEY=abc", None),
        ("K_API_KEY=old\nK_API_KEY=new", "new"),  # as a shell would read it
    ],
)
def test_dotenv_lines(line: str, key: str | None) -> None:
    Path(".env").write_text(f"\ufeff{line}\n", encoding="utf-8")
    assert keys.read_api_key("K_API_KEY", required=False) == key


def test_the_environment_comes_before_dotenv_unless_it_is_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(".env").write_text("K_API_KEY=file\n")
    monkeypatch.setenv("K_API_KEY", "environment")
    assert keys.read_api_key("K_API_KEY") == "environment"
    monkeypatch.setenv("K_API_KEY", " ")
    assert keys.read_api_key("K_API_KEY") == "file"


def test_a_folder_named_dotenv_is_no_file_and_bytes_are_no_text() -> None:
    Path(".env").mkdir()
    assert keys.read_api_key("K_API_KEY", required=False) is None
    Path(".env").rmdir()
    Path(".env").write_bytes(b"K_API_KEY=\xff")
    with pytest.raises(BadInputError, match=r"\.env: is not UTF-8"):
        keys.read_api_key("K_API_KEY")


@pytest.mark.parametrize("key", ["“abcdefgh”", "abc defgh", "abc\ndefgh"])
def test_a_key_that_no_header_can_carry_is_refused_unshown(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K_API_KEY", key)
    with pytest.raises(AccessError, match="K_API_KEY is no API key") as told:
        keys.read_api_key("K_API_KEY")
    assert "abc" not in str(told.value)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("wrong key: planted-key-1!", "wrong key: [key]!"),
        ("planted-key-1planted-key-1", "[key][key]"),
        (
            "Incorrect API key provided: sk-abcd***wxyz. See",
            "Incorrect API key provided: [key] See",
        ),
        ("authorization: Bearer abc.def/ghi= was", "authorization: Bearer [key] was"),
        ("risk-adjusted task-specific-values", "risk-adjusted task-specific-values"),
        ("x", "x"),  # the key of a server that wants none
    ],
)
def test_scrub_masks_keys_and_what_looks_like_one(
    said: str, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("planted-key-1", "x"):
        monkeypatch.setenv("K_API_KEY", key)
        keys.read_api_key("K_API_KEY")
    assert keys.scrub(said) == kept


@pytest.mark.parametrize(
    "address",
    ["ftp://h", "h:80", "http://", "http://h:99999", "http://h/?a=b", "http://h/#a", "http://a@h"],
)
def test_addresses_that_are_none_or_hold_secrets(address: str) -> None:
    with pytest.raises(UsageError):
        keys.check_url("base_url", address)


def test_an_address_loses_the_slash_at_its_end() -> None:
    assert keys.check_url("base_url", "https://h:8000/v1/") == "https://h:8000/v1"


def test_a_key_of_the_environment_never_goes_where_only_a_file_of_the_folder_says(
    api: FakeApi, provider: Provider, compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(provider.variable, KEY)
    Path(".env").write_text(f"{provider.address}={api.url}{provider.path}\n", encoding="utf-8")
    refusal = compare()
    assert refusal.code == 2
    assert provider.variable.encode() in refusal.texts["err"]
    assert not api.seen
    monkeypatch.setenv(provider.address, f"{api.url}{provider.path}")
    compare()
    assert was_received(api)
