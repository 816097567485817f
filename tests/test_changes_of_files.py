"""What the revision files say of changes: their phases, what a contract will settle, what is open and what is parked."""

from __future__ import annotations

import pytest

from alembic_safe.database.envpy import script_of
from alembic_safe.errors import Findings
from alembic_safe.inspecting.changes import changes, open_changes, parked_contracts
from alembic_safe.inspecting.settles import Settle, parse_settle
from tests.phased import SETTLES, park, phase
from tests.project import Project


@pytest.fixture
def project(tmp_path):
    project = Project.create(tmp_path / "app", "postgresql://nobody@127.0.0.1/none")
    project.revision("e1", "a3", "split names", extra=phase("expand", more=SETTLES))
    project.revision("c1", "e1", "copy names", extra=phase("copy"))
    return project


def read(project):
    return changes(script_of(project.config))


@pytest.mark.parametrize(
    ("text", "settle"),
    [
        ("retire_column public.users.fullname", Settle("retire_column", "public", "users", "fullname")),
        ("retire_table app.orders", Settle("retire_table", "app", "orders")),
        ("set_type public.users.id  bigint", Settle("set_type", "public", "users", "id", "bigint")),
        (
            'retire_column "My Schema"."or.der"."say ""no"" 100%"',
            Settle("retire_column", "My Schema", "or.der", 'say "no" 100%'),
        ),
        (
            'set_default public."Größe".größe \'a "b" c\'::text',
            Settle("set_default", "public", "Größe", "größe", "'a \"b\" c'::text"),
        ),
        (f"set_not_null public.users.{'x' * 63}", Settle("set_not_null", "public", "users", "x" * 63)),
    ],
)
def test_a_settles_line_is_read_and_written_back(text, settle):
    assert parse_settle(text) == settle
    assert parse_settle(str(settle)) == settle


@pytest.mark.parametrize(
    "text", ["", "retire_column", "retire_column users", "retire_column a.b.c.d", 'retire_column a."b']
)
def test_a_settles_line_of_another_form_is_refused_with_its_file(text):
    with pytest.raises(Findings, match=r"versions/e1\.py"):
        parse_settle(text, where="versions/e1.py")


def test_an_unknown_verb_is_refused_with_the_nearest_one():
    with pytest.raises(Findings, match="The nearest is retire_column") as caught:
        parse_settle("retier_column public.users.fullname")
    assert "retier_column public.users.fullname" in str(caught.value)


def test_a_change_is_open_until_its_contract_is_in_the_chain(project):
    park(project, "k1", "c1")
    (change,) = read(project)
    assert (change.id, change.message, change.expand, change.copy, change.contract) == (
        "names", "split names", "e1", "c1", None,
    )  # fmt: skip
    assert change.settles == (Settle("retire_column", "public", "users", "fullname"),)
    assert change.parked is not None
    assert change.parked.name == "names.py"
    assert open_changes(script_of(project.config)) == (change,)
    project.revision("k1", "c1", "contract", extra=phase("contract"))
    (change,) = read(project)
    assert change.revisions == ("e1", "c1", "k1")
    assert not change.is_open


def test_changes_come_in_the_order_of_their_expands(project):
    project.revision("e0", "c1", "z", extra=phase("expand", "aaa", SETTLES))
    project.revision("e2", "e0", "y", extra=phase("expand", "bbb", "settles = ()"))
    project.revision("k1", "e2", "x", extra=phase("contract"))
    assert [(change.id, change.is_open) for change in read(project)] == [
        ("names", False),
        ("aaa", True),
        ("bbb", False),
    ]


def test_changes_on_several_branches_are_all_found(project):
    project.revision("b1", "a3", "branch", extra=phase("expand", "other", SETTLES))
    assert {change.id for change in read(project)} == {"names", "other"}


def test_files_without_phases_hold_no_change(tmp_path):
    plain = Project.create(tmp_path / "plain", "postgresql://nobody@127.0.0.1/none")
    assert read(plain) == ()
    assert parked_contracts(script_of(plain.config)) == ()


def test_a_parked_contract_is_read_and_never_run(project):
    path = park(project, "k1", "c1", "end of names", upgrade="raise SystemExit(3)")
    path.write_text(path.read_text() + "\n1 / 0\n")
    (parked,) = parked_contracts(script_of(project.config))
    assert (parked.change, parked.revision, parked.down) == ("names", "k1", ("c1",))
    assert parked.message.startswith("end of names")


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (phase("expand", "other"), "settles"),
        ('phase = "expand"\nsettles = ()', "change"),
        (phase("shrink", "other"), "'shrink'"),
        (phase("expand", "names", SETTLES), "'names'"),
        (phase("expand", "other", "settles = 'retire_column public.users.fullname'"), "tuple"),
        (phase("expand", "other", "settles = ('explode public.users',)"), "explode"),
        (phase("contract", "alone"), "'alone'"),
    ],
)
def test_what_files_contradict_each_other_in_is_an_error_that_names_the_file(project, extra, words):
    project.revision("x1", "c1", "wrong", extra=extra)
    with pytest.raises(Findings, match=words) as caught:
        read(project)
    assert "x1_wrong.py" in str(caught.value)
    assert caught.value.next_steps


def test_a_contract_before_its_expand_is_an_error_that_names_both_files(project):
    project.revision("k2", "c1", "too early", extra=phase("contract", "late"))
    project.revision("e2", "k2", "too late", extra=phase("expand", "late", SETTLES))
    with pytest.raises(Findings, match="does not stand behind its expand") as caught:
        read(project)
    assert "k2_too_early.py" in str(caught.value)
    assert "e2_too_late.py" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("revision = 'k9'\n", "phase"),
        ("phase = 'contract'\nrevision = 'k9'\n", "its change"),
        ("phase = 'contract'\nchange = 'names'\n", "its revision"),
        ("phase = (", "cannot be read"),
        ("phase = 'contract'\nchange = 'nobody'\nrevision = 'k9'\n", "no revision is its expand"),
    ],
)
def test_a_file_among_the_parked_ones_that_is_none_is_named(project, text, words):
    park(project, "k1", "c1")
    (project.folder / "migrations" / "contracts" / "odd.py").write_text(text)
    with pytest.raises(Findings, match=words) as caught:
        read(project)
    assert "odd.py" in str(caught.value)


def test_two_parked_contracts_of_one_change_are_an_error_that_names_both(project):
    path = park(project, "k1", "c1")
    path.with_name("again.py").write_text(path.read_text())
    with pytest.raises(Findings, match=r"again\.py and .*names\.py"):
        read(project)
