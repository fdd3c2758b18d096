"""Settings: which source wins, and what is said of a mistake."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from pipeline.config import Settings, config_files, config_folder, load_settings, shipped_config
from pipeline.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "settings"
    folder.mkdir()
    return folder


def load(folder: Path, toml: str = "", options: dict[str, Any] | None = None, **environment: str) -> Settings:
    (folder / "pipeline.toml").write_text(toml)
    return load_settings(options, environment={"PIPELINE_CONFIG": str(folder), **environment})


def test_the_shipped_file_says_every_setting_and_its_default() -> None:
    """The file explains what is; it must neither lack a key nor change a default."""
    data = tomllib.loads((shipped_config() / "pipeline.toml").read_text())
    settings = Settings()
    for section, field in Settings.model_fields.items():
        assert isinstance(field.annotation, type)
        assert issubclass(field.annotation, BaseModel)
        optional = {name for name, value in getattr(settings, section) if value is None}
        assert set(data[section]) | optional == set(field.annotation.model_fields)
    assert Settings.model_validate(data) == settings


def test_file_environment_and_options_win_in_this_order(folder: Path) -> None:
    """Each source covers only the keys it names."""
    toml = '[folders]\ninbox = "file"\noutbox = "file"\n[daemon]\nconcurrency = 2\ngrace_seconds = 3'
    environment = {"PIPELINE_FOLDERS__OUTBOX": "environment", "PIPELINE_DAEMON__CONCURRENCY": "4"}
    settings = load(folder, toml, {"daemon": {"concurrency": 5}}, **environment)
    assert (settings.folders.inbox, settings.folders.outbox) == (Path("file"), Path("environment"))
    assert (settings.daemon.concurrency, settings.daemon.grace_seconds) == (5, 3)
    assert load(folder, toml, **environment).daemon.concurrency == 4
    assert settings.jobs == Settings().jobs


def test_an_option_that_was_not_given_wins_nothing(folder: Path) -> None:
    """The command line passes None for what the user did not say."""
    assert load(folder, "[daemon]\nconcurrency = 2", {"daemon": {"concurrency": None}}).daemon.concurrency == 2


def test_lm_studios_own_variables_are_honoured(folder: Path) -> None:
    """They win over the file, ours win over them, and an empty one says nothing; the key is not shown."""
    toml = '[llm]\nbase_url = "http://file/v1"'
    theirs = {"LM_STUDIO_API_BASE": "http://theirs/v1", "LM_STUDIO_API_KEY": "geheim"}
    settings = load(folder, toml, **theirs)
    assert settings.llm.base_url == "http://theirs/v1"
    assert settings.llm.api_key.get_secret_value() == "geheim"
    assert "geheim" not in repr(settings)
    ours = load(folder, toml, **theirs, PIPELINE_LLM__BASE_URL="http://ours/v1")
    assert ours.llm.base_url == "http://ours/v1"
    assert load(folder, toml, LM_STUDIO_API_BASE="").llm.base_url == "http://file/v1"


def test_variables_that_name_no_setting_are_left_alone(folder: Path) -> None:
    """Other programs have variables of this prefix too; only the double underline makes a setting."""
    assert load(folder, "", PIPELINE_WORKSPACE="/x", PIPELINE="y", HOME="/z") == Settings()


@pytest.mark.parametrize(
    ("toml", "environment", "named"),
    [
        ("[daemon]\nconcurency = 2", {}, ["pipeline.toml", "[daemon] concurency", "concurrency"]),
        ("[deamon]\nconcurrency = 2", {}, ["pipeline.toml", "[deamon]", "daemon"]),
        ('[daemon]\nconcurrency = "two"', {}, ["pipeline.toml", "[daemon] concurrency", "'two'", 'a number or "auto"']),
        ("[daemon]\nconcurrency = 0", {}, ["pipeline.toml", "[daemon] concurrency", "0", "greater", '"auto"']),
        ('[intake]\npolling = "often"', {}, ["pipeline.toml", "[intake] polling", "often"]),
        ('[logs]\nlevel = "loud"', {}, ["pipeline.toml", "[logs] level", "loud", "debug"]),
        ('[llm]\nslots = "many"', {}, ["pipeline.toml", "[llm] slots", "many", 'a number or "auto"']),
        ("", {"PIPELINE_JOBS__TRIES": "3"}, ["PIPELINE_JOBS__TRIES", "[jobs] tries", "attempts"]),
        ("", {"PIPELINE_JOBS__ATTEMPTS": "many"}, ["PIPELINE_JOBS__ATTEMPTS", "[jobs] attempts", "many"]),
        ("", {"PIPELINE_NOTHING__X": "1"}, ["PIPELINE_NOTHING__X", "[nothing]", "jobs"]),
        ("concurrency = 2", {}, ["pipeline.toml", "concurrency", "[section]"]),
        ("[daemon]\nx y", {}, ["pipeline.toml", "TOML", "line 2"]),
    ],
)
def test_a_mistake_names_its_place_its_key_and_a_remedy(
    folder: Path, toml: str, environment: dict[str, str], named: list[str]
) -> None:
    """The message leads to the line or variable that is wrong, the hint to what is right."""
    with pytest.raises(ConfigError) as caught:
        load(folder, toml, **environment)
    assert caught.value.hint
    for part in named:
        assert part in f"{caught.value.message} {caught.value.hint}"


_ONE = '[[llm.hosts]]\nbase_url = "http://one:1234"\n'


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        (f'{_ONE}name = "one"', ["unknown setting [llm] hosts entry 1: name", "api_key, base_url", "slots"]),
        (f'{_ONE}[[llm.hosts]]\napi_key = "hush"', ["[llm] hosts entry 2: base_url is missing"]),
        (f'{_ONE}slots = "many"', ["[llm] hosts entry 1: slots = 'many'", 'a number or "auto" is wanted']),
        (f"{_ONE}api_key = 12345", ["[llm] hosts entry 1: api_key: "]),
        (f'{_ONE}[[llm.hosts]]\nbase_url = "one:1234/v1/"', ["[llm] hosts: entries 1 and 2 are the same server"]),
        ('[llm]\nhosts = ["http://one:1234"]', ["[llm] hosts entry 1 = 'http://one:1234'"]),
    ],
)
def test_a_mistake_in_one_of_several_hosts_names_the_entry_and_its_key(
    folder: Path, toml: str, named: list[str]
) -> None:
    """Entries are counted from 1, only their own keys are listed, and no key to a server is shown."""
    with pytest.raises(ConfigError) as caught:
        load(folder, toml)
    said = f"{caught.value.message} {caught.value.hint}"
    assert [part for part in named if part not in said] == [], said
    assert "timeout_seconds" not in said
    assert "hush" not in said
    assert "12345" not in said


def test_a_mistake_in_a_later_source_names_that_source(folder: Path) -> None:
    """The file is right here, so it must not be named."""
    with pytest.raises(ConfigError, match=r"^an option: \[daemon\] concurrency = 0") as caught:
        load(folder, "[daemon]\nconcurrency = 2", {"daemon": {"concurrency": 0}})
    assert "toml:" not in caught.value.message


def test_a_file_in_another_encoding_is_explained(folder: Path) -> None:
    """TOML is UTF-8; an editor may not know that."""
    (folder / "pipeline.toml").write_bytes(b'[folders]\ninbox = "Eing\xe4nge"')
    with pytest.raises(ConfigError, match=r"pipeline\.toml is not valid TOML"):
        load_settings(environment={"PIPELINE_CONFIG": str(folder)})


def test_a_folder_without_a_file_means_defaults(folder: Path) -> None:
    """Agents may be changed without settings being repeated."""
    assert load_settings(environment={"PIPELINE_CONFIG": str(folder)}) == Settings()


def test_a_named_folder_must_be_there(tmp_path: Path) -> None:
    """A name with a slip in it must not fall back to other settings."""
    with pytest.raises(ConfigError, match=r"PIPELINE_CONFIG names .*gone") as caught:
        config_folder({"PIPELINE_CONFIG": str(tmp_path / "gone")})
    assert caught.value.hint


def test_the_local_folder_comes_before_the_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder `config` counts only when it holds our settings."""
    monkeypatch.chdir(tmp_path)
    assert config_folder({}) == shipped_config()
    (tmp_path / "config").mkdir()
    assert config_folder({}) == shipped_config()
    (tmp_path / "config" / "pipeline.toml").touch()
    assert config_folder({}).resolve() == tmp_path / "config"
    assert config_folder({"PIPELINE_CONFIG": ""}).resolve() == tmp_path / "config"


@pytest.mark.parametrize(
    ("there", "own"),
    [
        (["pipeline.toml"], ["settings"]),
        (["agents/invoice.toml"], ["agents"]),
        (["agents/invoice.toml", "prompts/one.md"], ["agents", "prompts"]),
        (["pipeline.toml", "agents/invoice.toml"], ["settings", "agents"]),
        (["prompts/one.md"], []),
    ],
)
def test_what_a_folder_lacks_comes_from_the_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: list[str], own: list[str]
) -> None:
    """Who changes an agent need not copy the settings, nor the other way round."""
    monkeypatch.chdir(tmp_path)
    for name in there:
        (tmp_path / "config" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "config" / name).touch()
    files = config_files({})
    assert [name for name, path in files._asdict().items() if path.parent == Path("config")] == own
    assert all(path.exists() for path in files)


def test_a_named_folder_with_nothing_of_ours_lacks_its_agents(folder: Path) -> None:
    """A slip in a name is no wish for the shipped agents."""
    assert config_files({"PIPELINE_CONFIG": str(folder)}).agents == folder / "agents"


@pytest.mark.parametrize(
    ("text", "passwords"), [("", []), ("one", ["one"]), ('["one", "two"]', ["one", "two"]), ("[x", ["[x"])]
)
def test_passwords_come_from_the_environment(folder: Path, text: str, passwords: list[str]) -> None:
    """One password as it is, or several as a list."""
    environment = {"PIPELINE_CONFIG": str(folder), "PIPELINE_READING__PASSWORDS": text}
    settings = load_settings(environment=environment)
    assert [word.get_secret_value() for word in settings.reading.passwords] == passwords


def test_a_mistake_in_a_secret_does_not_show_it(folder: Path) -> None:
    """What is wrong with a list of passwords is said without the passwords."""
    environment = {"PIPELINE_CONFIG": str(folder), "PIPELINE_READING__PASSWORDS": '["hush"' + ', "hush"' * 30 + "]"}
    with pytest.raises(ConfigError) as caught:
        load_settings(environment=environment)
    assert "passwords" in caught.value.message
    assert "hush" not in caught.value.message + caught.value.hint
