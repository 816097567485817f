"""Where settings come from, which source wins, and what a wrong one is told."""

from __future__ import annotations

from dataclasses import Field, fields
from typing import TYPE_CHECKING, Any

import pytest
from alembic.config import Config
from hypothesis import given
from hypothesis import strategies as st

from alembic_safe.errors import WrongUsage
from alembic_safe.settings import Settings, project_folder, public_fields, seconds, size, variable_of
from tests.stops import assert_done, assert_stopped

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.project import Project


def written(folder: Path, *, ini: str | None = None, toml: str | None = None) -> Config:
    """Write the configuration files of a project, and return Alembic's view of them."""
    folder.mkdir(parents=True, exist_ok=True)
    if ini is not None:
        (folder / "alembic.ini").write_text(f"[alembic]\nscript_location = migrations\n{ini}")
    if toml is not None:
        (folder / "pyproject.toml").write_text(toml)
    return Config(str(folder / "alembic.ini"), toml_file=str(folder / "pyproject.toml"))


# --- sources and precedence ------------------------------------------------------------------------------------------


def test_each_source_beats_the_one_behind_it(tmp_path: Path) -> None:
    toml = '[tool.alembic_safe]\nlock_wait = "1s"\nlock_budget = "1s"\nreplay_max = "1s"\nrelease = "t"\n'
    config = written(tmp_path, ini="[alembic_safe]\nlock_wait = 2s\nlock_budget = 2s\nreplay_max = 2s\n", toml=toml)
    environ = {"ALEMBIC_SAFE_LOCK_WAIT": "3s", "ALEMBIC_SAFE_LOCK_BUDGET": "3s"}
    read = Settings.load(config, environ=environ, lock_wait=4.0)
    assert (read.lock_wait, read.lock_budget, read.replay_max, read.release) == (4, 3, 2, "t")
    assert read.backup_dir == "backups"
    assert read.found == ("[tool.alembic_safe] in pyproject.toml", "[alembic_safe] in alembic.ini", "environment")


def test_an_option_that_was_not_given_changes_nothing(tmp_path: Path) -> None:
    config = written(tmp_path, ini="[alembic_safe]\nlock_wait = 2s\n")
    assert Settings.load(config, environ={}, lock_wait=None).lock_wait == 2


def test_without_any_source_there_are_only_defaults_and_the_project_has_no_settings_of_ours(tmp_path: Path) -> None:
    read = Settings.load(written(tmp_path, ini="", toml="[tool.other]\nx = 1\n"), environ={"HOME": "/"})
    assert read == Settings()
    assert not read.active


def test_options_alone_do_not_make_it_a_project_of_ours(tmp_path: Path) -> None:
    assert not Settings.load(written(tmp_path, ini=""), environ={}, lock_wait=5.0).active


@pytest.mark.parametrize(("ini", "toml"), [("[alembic_safe]\n", ""), ("", "[tool.alembic_safe]\n")])
def test_an_empty_section_counts(ini: str, toml: str, tmp_path: Path) -> None:
    assert Settings.load(written(tmp_path, ini=ini, toml=toml), environ={}).active


def test_the_nearest_pyproject_above_the_ini_is_read_and_only_that(tmp_path: Path) -> None:
    written(tmp_path, toml='[tool.alembic_safe]\nrelease = "far"\n')
    written(tmp_path / "a", toml='[tool.alembic_safe]\nschema = "near"\n')
    (tmp_path / "a" / "db").mkdir()
    (tmp_path / "a" / "db" / "alembic.ini").write_text("[alembic]\n")
    read = Settings.load(Config(str(tmp_path / "a" / "db" / "alembic.ini")), environ={})
    assert (read.schema, read.release) == ("near", None)


def test_a_project_with_a_pyproject_alone_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "app", toml='[tool.alembic_safe]\nenvironment = "staging"\n')
    config = Config(toml_file=str(tmp_path / "app" / "pyproject.toml"))
    monkeypatch.chdir(tmp_path)
    assert Settings.load(config, environ={}).environment == "staging"
    assert project_folder(config) == tmp_path / "app"


def test_the_file_named_with_c_is_read_and_none_beside_it(project: Project) -> None:
    other = project.folder / "deploy.toml"
    other.write_text('[tool.alembic]\nscript_location = "migrations"\n[tool.alembic_safe]\nschema = "elsewhere"\n')
    (project.folder / "pyproject.toml").write_text('[tool.alembic_safe]\nnonsense = "never read"\n')
    config = Config(str(project.folder / "alembic.ini"), toml_file=str(other))
    assert Settings.load(config, environ={}).schema == "elsewhere"


def another_value(field: Field[Any]) -> str:
    """Return a text that is right for a setting, and not its default."""
    if field.metadata["choices"]:
        return next(choice for choice in field.metadata["choices"] if choice != field.default)
    if "bool" in field.type:
        return "no" if field.default else "yes"
    for kind, text in (("Seconds", "77s"), ("Bytes", "77MB"), ("Count", "77")):
        if kind in field.type:
            return text
    return "another"


def test_every_setting_can_be_written_in_each_source(tmp_path: Path) -> None:
    values = {name: another_value(field) for name, field in public_fields().items()}
    lines = "".join(f"{key} = {value}\n" for key, value in values.items())
    toml = "".join(f'{key} = "{value}"\n' for key, value in values.items())
    from_ini = Settings.load(written(tmp_path / "i", ini="[alembic_safe]\n" + lines), environ={})
    from_toml = Settings.load(written(tmp_path / "t", ini="", toml="[tool.alembic_safe]\n" + toml), environ={})
    lowers = {name for name, field in public_fields().items() if field.metadata["in_files_only"]}
    variables = {variable_of(key): value for key, value in values.items() if key not in lowers}
    from_variables = Settings.load(written(tmp_path / "v", ini=""), environ=variables)
    for name in values:
        assert getattr(from_ini, name) == getattr(from_toml, name), name
        assert getattr(from_ini, name) != getattr(Settings(), name), name
        assert name in lowers or getattr(from_variables, name) == getattr(from_ini, name), name


def test_no_variable_lowers_the_guard(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="no variable lowers the guard"):
        Settings.load(written(tmp_path), environ={"ALEMBIC_SAFE_STOCK_UPGRADE": "warn"})


def test_toml_may_write_numbers_and_truth_as_such(tmp_path: Path) -> None:
    toml = "[tool.alembic_safe]\nlock_wait = 90\nreplay_max = 0.5\nprotected = false\nbackup_warn_size = 1000\n"
    read = Settings.load(written(tmp_path, toml=toml), environ={})
    assert (read.lock_wait, read.replay_max, read.protected, read.backup_warn_size) == (90, 0.5, False, 1000)


def test_none_takes_a_setting_back_where_it_may_be_absent(tmp_path: Path) -> None:
    config = written(tmp_path, ini="[alembic_safe]\nbackup_warn_size = none\npg_bin =\n")
    read = Settings.load(config, environ={})
    assert (read.backup_warn_size, read.pg_bin) == (None, None)


def test_ini_interpolation_and_defaults_work_as_in_alembics_own_section(tmp_path: Path) -> None:
    config = written(
        tmp_path, ini="[DEFAULT]\nroot = /srv\n[alembic_safe]\nbackup_dir = %(root)s/100%%\npg_bin = %(here)s/b\n"
    )
    read = Settings.load(config, environ={})
    assert read.backup_dir == "/srv/100%"
    assert read.pg_bin == f"{tmp_path}/b"


def test_what_a_backup_command_is_told_is_no_setting(tmp_path: Path) -> None:
    told = {f"ALEMBIC_SAFE_BACKUP_{word}": "x" for word in ("DATABASE", "HOST", "PORT", "USER", "REVISION")}
    assert Settings.load(written(tmp_path, ini=""), environ=told) == Settings()


def test_what_the_names_of_the_fields_promise_is_kept() -> None:
    for field in fields(Settings):
        assert field.metadata.get("internal") or field.metadata["about"], field.name


# --- declarations ----------------------------------------------------------------------------------------------------


def test_every_source_that_declares_is_kept_with_its_name(tmp_path: Path) -> None:
    config = written(
        tmp_path, ini="[alembic_safe]\nenvironment = ci\n", toml='[tool.alembic_safe]\nenvironment = "live"\n'
    )
    read = Settings.load(config, environ={"ALEMBIC_SAFE_PROTECTED": "no"})
    assert [(d.environment, d.protected, d.source) for d in read.declarations] == [
        ("live", True, "[tool.alembic_safe] in pyproject.toml"),
        ("ci", False, "[alembic_safe] in alembic.ini"),
        ("development", False, "ALEMBIC_SAFE_PROTECTED"),
    ]
    assert read.environment == "ci"


@pytest.mark.parametrize("name", ["development", "dev", "local", "test", "testing", "CI", "Development"])
def test_a_name_for_development_is_not_protected(name: str) -> None:
    (declaration,) = Settings.load(environ={"ALEMBIC_SAFE_ENVIRONMENT": name}).declarations
    assert not declaration.protected


@pytest.mark.parametrize("name", ["production", "prod", "staging", "developmnet", "ci-2", "live"])
def test_every_other_name_is_protected(name: str) -> None:
    (declaration,) = Settings.load(environ={"ALEMBIC_SAFE_ENVIRONMENT": name}).declarations
    assert declaration.protected


def test_protection_can_be_said_beside_the_name() -> None:
    said = {"ALEMBIC_SAFE_ENVIRONMENT": "staging", "ALEMBIC_SAFE_PROTECTED": "false"}
    (declaration,) = Settings.load(environ=said).declarations
    assert (declaration.environment, declaration.protected) == ("staging", False)


# --- what is wrong ---------------------------------------------------------------------------------------------------

WRONG = {
    "lock_wiat = 5s": ("there is no setting lock_wiat", "The nearest is lock_wait"),
    "backupdir = b": ("there is no setting backupdir", "The nearest is backup_dir"),
    "zzz = 1": ("there is no setting zzz", "Settings: environment, protected"),
    "lock_wait = soon": ("lock_wait", "'soon' is no duration", "write 500ms, 60s, 10m, 24h or 30d"),
    "lock_wait =": ("lock_wait", "is no duration"),
    "backup_warn_size = big": ("backup_warn_size", "'big' is no size", "write 500MB or 20GB"),
    "stock_upgrade = warning": ("stock_upgrade", "'warning' is none of refuse, warn", "the nearest is warn"),
    "backup_scope = db": ("backup_scope", "is none of database, affected"),
    "protected = maybe": ("protected", "'maybe' is neither true nor false"),
    "schema =": ("schema", "is no text"),
    "backup_dir = 100%": ("[alembic_safe] in alembic.ini", "a percent sign is written %%"),
    "found = x": ("there is no setting found",),
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_line_names_itself_and_the_nearest_right_one(line: str, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage) as caught:
        Settings.load(written(tmp_path, ini=f"[alembic_safe]\n{line}\n"), environ={})
    assert caught.value.exit_code == 2
    for word in ("[alembic_safe] in alembic.ini", *WRONG[line]):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("lock_wait = true", ("lock_wait", "True is neither a number nor a text with a unit")),
        ("environment = 5", ("environment", "5 is no text")),
        ('protected = ["x"]', ("protected", "['x'] is neither true nor false")),
        ("lock_wait = -5", ("lock_wait", "'-5' is no duration")),
        ("[tool.alembic_safe.nested]\nx = 1", ("there is no setting nested",)),
    ],
)
def test_a_wrong_type_in_toml_is_named(toml: str, words: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(WrongUsage) as caught:
        Settings.load(written(tmp_path, toml=f"[tool.alembic_safe]\n{toml}\n"), environ={})
    for word in ("[tool.alembic_safe] in pyproject.toml", *words):
        assert word in str(caught.value)


def test_a_wrong_variable_is_spelt_as_a_variable() -> None:
    with pytest.raises(
        WrongUsage, match=r"no setting ALEMBIC_SAFE_ENVIROMENT\. The nearest is ALEMBIC_SAFE_ENVIRONMENT"
    ):
        Settings.load(environ={"ALEMBIC_SAFE_ENVIROMENT": "ci"})
    with pytest.raises(WrongUsage, match=r"environment: ALEMBIC_SAFE_LOCK_WAIT .*'x' is no duration"):
        Settings.load(environ={"ALEMBIC_SAFE_LOCK_WAIT": "x"})


def test_the_section_name_with_a_hyphen_is_told_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match=r"the name is \[tool.alembic_safe\]"):
        Settings.load(written(tmp_path, toml="[tool.alembic-safe]\nschema = 's'\n"), environ={})


def test_a_section_that_is_no_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match=r"\[tool.alembic_safe\] is not a table"):
        Settings.load(written(tmp_path, toml="[tool]\nalembic_safe = 3\n"), environ={})


def test_a_pyproject_that_cannot_be_read_stops_us_only_where_it_may_hold_our_settings(tmp_path: Path) -> None:
    assert not Settings.load(written(tmp_path / "a", ini="", toml="[broken\n"), environ={}).active
    assert not Settings.load(written(tmp_path / "b", ini="", toml="tool = 3\n"), environ={}).active
    (tmp_path / "c" / "pyproject.toml").mkdir(parents=True)
    assert not Settings.load(written(tmp_path / "c", ini=""), environ={}).active
    config = written(tmp_path / "d", ini="", toml="[tool.alembic_safe]\nenvironment = production\n")
    with pytest.raises(WrongUsage, match=r"pyproject.toml cannot be read: .*line 2"):
        Settings.load(config, environ={})
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "pyproject.toml").write_bytes(b"[tool.alembic_safe]\nrelease = '\xff'\n")
    with pytest.raises(WrongUsage, match=r"pyproject.toml cannot be read"):
        Settings.load(written(tmp_path / "e", ini=""), environ={})


def test_our_commands_and_stock_ones_end_with_exit_2_and_the_nearest_key(project: Project) -> None:
    project.settings("enviroment = production")
    for command in (("safe-upgrade",), ("safe-guard",), ("upgrade", "head"), ("current",)):
        said = assert_stopped(project.run(*command), 2, "no setting enviroment", "The nearest is environment.")
        assert "alembic safe-status --settings" in said
    # the way on works, once the line is mended
    ini = project.folder / "alembic.ini"
    ini.write_text(ini.read_text().replace("enviroment", "environment"))
    assert_done(project.run("safe-status", "--settings"), "lock_wait")


# --- durations and sizes ---------------------------------------------------------------------------------------------

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "": 1}
SIZES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "": 1}


@given(st.integers(0, 10**9), st.sampled_from(sorted(UNITS)), st.sampled_from(["", " "]))
def test_a_duration_is_its_number_times_its_unit(number: int, unit: str, space: str) -> None:
    assert seconds(f" {number}{space}{unit.upper()} ") == pytest.approx(number * UNITS[unit])
    assert seconds(f"{number}{unit}") == seconds(f"{number}.0{unit}")


@given(st.integers(0, 10**18), st.sampled_from(sorted(SIZES)))
def test_a_size_is_exactly_its_number_times_its_unit(number: int, unit: str) -> None:
    assert size(f"{number}{unit}") == number * SIZES[unit]


def refusal(read: Callable[[str], float], text: str) -> str | None:
    """Return what is said of a text that is no value; a value is never negative."""
    try:
        value = read(text)
    except ValueError as error:
        return str(error)
    assert value >= 0
    return None


@given(st.text(max_size=12))
def test_a_text_is_a_duration_and_a_size_or_is_told_what_one_looks_like(text: str) -> None:
    for read, about in ((seconds, "is no duration; write 500ms"), (size, "is no size; write 500MB")):
        said = refusal(read, text)
        assert said is None or about in said


@pytest.mark.parametrize("text", ["", "-1s", "1 day", "1h30m", "1e3", "inf", "nan", "s", "1.s", ".5s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        seconds(text)
