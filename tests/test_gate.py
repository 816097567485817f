"""Which contracts the gate lets through, from records alone: releases, ages, what a person said."""

from __future__ import annotations

from itertools import pairwise

import pytest

from alembic_safe.deploying.gate import Expanded, Gated, Release, Terms, gate, judge
from alembic_safe.deploying.plan import PlannedRevision
from alembic_safe.inspecting.changes import Change
from alembic_safe.reporting.gate import held_line

CHANGE = Change("names", "split names", "e1", "c1", "k1")
OLD, NEW = Release("v1", "aaa"), Release("v2", "bbb")
TERMS = Terms(protected=True, min_age=900.0, this=NEW)


def plan(*revisions):
    found = [PlannedRevision(revisions[0], "", (), "f.py", "x")]
    return [*found, *(PlannedRevision(later, "", (earlier,), "f.py", "x") for earlier, later in pairwise(revisions))]


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        (Release("v1", "aaa"), Release("v2", "aaa"), True),
        (Release("v1", "aaa"), Release("v1", "bbb"), False),
        (Release(None, "aaa"), Release(None, "bbb"), True),
        (Release(None, "aaa"), Release(None, "aaa"), False),
        (Release(None, "aaa"), Release(None, None), False),
        (Release("v1", "aaa"), Release(None, "bbb"), True),
        (Release("v1", "aaa"), Release(None, "aaa"), False),
        (Release("v1", "aaa"), Release(None, None), False),
    ],
)
def test_two_releases_differ_only_when_that_is_certain(one, other, differ):
    assert one.differs_from(other) is differ
    assert other.differs_from(one) is differ


def test_a_contract_runs_when_another_release_expanded_long_enough_ago():
    assert judge(CHANGE, Expanded(OLD, 900.0), TERMS) is None


def test_a_contract_waits_for_its_age():
    held = judge(CHANGE, Expanded(OLD, 600.0), TERMS)
    assert (held.seconds, held.next_release) == (300.0, False)
    assert "too short a while ago, by release v1" in held.why


def test_a_contract_waits_for_another_release_however_old_its_expand_is():
    held = judge(CHANGE, Expanded(NEW, 1e6), TERMS)
    assert (held.seconds, held.next_release) == (0.0, True)
    assert "by this same release" in held.why


@pytest.mark.parametrize(
    ("expanded", "this", "other_heads", "by_name"),
    [
        (Release("v2", "bbb"), Release("v2", "bbb"), False, False),
        (Release("v2", "bbb"), Release(None, "bbb"), False, False),
        (Release(None, "bbb"), Release(None, "bbb"), True, False),
        (Release(None, "bbb"), Release("v2", "bbb"), True, False),
        (Release(None, None), Release("v2", "bbb"), False, True),
        (Release(None, None), Release(None, "bbb"), False, True),
    ],
)
def test_a_release_that_is_promised_to_open_the_gate_opens_it(expanded, this, other_heads, by_name):
    old = Expanded(expanded, 1e6)
    held = judge(CHANGE, old, Terms(protected=True, min_age=900.0, this=this))
    assert (held.other_heads, held.by_name, held.next_release) == (other_heads, by_name, not by_name)
    later = Terms(protected=True, min_age=900.0, this=Release("v3", "ccc" if other_heads else "bbb"))
    assert (judge(CHANGE, old, later) is None) is not by_name
    assert judge(CHANGE, old, Terms(protected=True, min_age=900.0, this=this, allowed=frozenset({"names"}))) is None
    line = held_line(held)
    assert ("with a release whose files have other heads, or with --contract names" in line) is other_heads
    assert line.endswith("it may run with --contract names only") is by_name


def test_an_expand_that_is_about_to_run_without_a_name_waits_for_other_heads():
    assert judge(CHANGE, None, Terms(protected=True, min_age=900.0, this=Release(None, "bbb"))).other_heads
    assert not judge(CHANGE, None, TERMS).other_heads


def test_an_age_of_zero_still_needs_another_release():
    terms = Terms(protected=True, min_age=0.0, this=NEW)
    assert judge(CHANGE, Expanded(NEW, 0.0), terms) is not None
    assert judge(CHANGE, Expanded(OLD, 0.0), terms) is None


def test_a_contract_whose_expand_runs_in_the_same_deployment_waits():
    held = judge(CHANGE, None, TERMS)
    assert (held.seconds, held.next_release) == (900.0, True)


@pytest.mark.parametrize(
    "terms",
    [
        Terms(protected=False, min_age=900.0, this=NEW),
        Terms(protected=True, min_age=900.0, this=NEW, met_empty=True),
        Terms(protected=True, min_age=900.0, this=NEW, allowed=frozenset({"names"})),
        Terms(protected=True, min_age=900.0, this=NEW, downtime=True),
    ],
)
def test_what_opens_the_gate_at_once(terms):
    assert judge(CHANGE, Expanded(NEW, 0.0), terms) is None
    assert judge(CHANGE, None, terms) is None


def test_a_person_s_word_opens_the_gate_for_the_change_that_was_named_only():
    terms = Terms(protected=True, min_age=900.0, this=NEW, allowed=frozenset({"other"}))
    assert judge(CHANGE, None, terms) is not None


def test_what_stands_behind_a_waiting_contract_is_named_and_held_with_it():
    gated = gate(plan("a1", "k1", "b1", "b2"), [CHANGE], {"e1": Expanded(NEW, 0.0)}, TERMS)
    assert [one.revision for one in gated.waiting] == ["k1"]
    assert [one.revision for one in gated.behind] == ["b1", "b2"]
    assert gated.held == {"k1", "b1", "b2"}


def test_another_branch_is_not_held():
    revisions = [*plan("k1", "b1"), *plan("x1", "x2")]
    gated = gate(revisions, [CHANGE], {"e1": Expanded(NEW, 0.0)}, TERMS)
    assert gated.held == {"k1", "b1"}


def test_without_a_contract_nothing_waits():
    assert gate(plan("a1", "a2"), [CHANGE], {}, TERMS) == Gated()


def test_each_of_several_contracts_is_judged_by_its_own_expand():
    other = Change("more", "more", "e2", None, "k2")
    expanded = {"e1": Expanded(OLD, 1000.0), "e2": Expanded(OLD, 10.0)}
    gated = gate(plan("k1", "k2"), [CHANGE, other], expanded, TERMS)
    assert [one.change for one in gated.waiting] == ["more"]
