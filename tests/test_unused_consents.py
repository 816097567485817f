"""Consents by name that fit nothing: told in one line, with what may have been meant."""

from __future__ import annotations

import pytest

from alembic_safe.inspecting.unused_consents import NO_FINDING, NO_HAZARD, unused_consents

KNOWN = frozenset({"drop-column:users.mail", "create-index:users.users_name"})


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("drop-column:users.mial", "drop-column:users.mail"),
        ("drop-colum:users.mail", "drop-column:users.mail"),
        ("drop-column:public.users.mail", "drop-column:users.mail"),
        ("create-index:users.user_name", "create-index:users.users_name"),
        ("drop-table:orders", ""),
        ("mail", ""),
    ],
)
def test_it_is_told_with_what_is_near_to_it(given: str, meant: str) -> None:
    near = f" Did you mean {meant}?" if meant else ""
    assert unused_consents({given}, KNOWN, NO_HAZARD) == (f"--accept {given}: the plan has no such hazard.{near}",)


def test_what_was_found_and_what_others_ask_for_is_not_told() -> None:
    others = {
        "edited:3f2a",
        "heads:a,b",
        "publication:all",
        "retire-without-key:users.mail",
        "restore-empty:users.mail",
    }
    assert unused_consents({*KNOWN, *others}, KNOWN, NO_FINDING) == ()


def test_nobody_is_led_to_what_was_consented_to_already_or_what_no_consent_helps() -> None:
    alone = ("--accept drop-column:users.mial: the plan has no such hazard.",)
    assert unused_consents({"drop-column:users.mial", "drop-column:users.mail"}, KNOWN, NO_HAZARD) == alone
    assert unused_consents({"drop-column:users.mial"}, KNOWN, NO_HAZARD, meant=()) == alone


def test_nobody_who_mistypes_what_to_keep_is_led_to_what_goes() -> None:
    known = {"keep-column:users.fax", "drop-column:users.nick", "drop-column:users.fax"}
    (line,) = unused_consents({"keep-column:users.nikc"}, known, NO_FINDING)
    assert line == "--accept keep-column:users.nikc: nothing of that name is found."
