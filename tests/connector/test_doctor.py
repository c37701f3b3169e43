"""The examination names each fault and how it is mended."""

from dataclasses import replace

import pytest

from sync.connectors.base import errors
from sync.connectors.base.board import BoardCheck, CheckResult, ColumnCheck
from sync.connectors.base.connector import AccountInfo
from sync.connectors.monday.board_events import WEBHOOK_EVENTS, ensure_webhooks
from sync.connectors.monday.connection import check_connection
from tests.connector.fake_account import FakeAccount

GREETING = AccountInfo(
    user_id="2",
    user_name="Sync",
    tier="pro",
    version_value="2026-10",
    version_kind="current",
    versions={"2026-10": "current"},
    day_limit=10_000,
)
ASKED = "2026-10"
EMAIL = ColumnCheck("Email", ("email",))
CHECK = BoardCheck("Contacts", "7", {"name": ColumnCheck("Name", ("name",)), "email_x": EMAIL}, group_id="topics")


@pytest.fixture
def account() -> FakeAccount:
    account = FakeAccount()
    account.add_board("7", {"id": "email_x", "title": "Email", "type": "email", "archived": False})
    return account


def _faults(findings: list[CheckResult]) -> list[str]:
    assert all(bool(finding.fix) is (finding.level != "ok") for finding in findings)
    assert all(finding.subject for finding in findings)
    return [finding.message for finding in findings if not finding.ok]


def _warnings(findings: list[CheckResult]) -> list[str]:
    assert _faults(findings) == []
    return [finding.message for finding in findings if finding.level == "warning"]


def _check(account: FakeAccount) -> BoardCheck:
    hooks, _ = ensure_webhooks(account, "7", "https://npd.test/", {})
    return replace(CHECK, hook_ids=[hook.id for hook in hooks])


def test_a_healthy_connection_has_no_fault(account: FakeAccount) -> None:
    findings = check_connection(account, GREETING, ASKED, [_check(account)])
    assert _faults(findings) == []
    assert [finding.subject for finding in findings] == ["token", "version", "plan", "board", "columns", "webhooks"]
    assert findings[2].message == "The plan is pro: 10,000 calls a day."


def test_a_token_without_a_user_is_a_fault(account: FakeAccount) -> None:
    nobody = replace(GREETING, user_id="")
    assert "The token belongs to no user." in _faults(check_connection(account, nobody, ASKED, []))


def test_a_token_that_may_not_say_whose_it_is_is_told_which_scope_it_lacks(account: FakeAccount) -> None:
    refused = errors.PermissionMissing("User unauthorized", path=["me"])
    found = check_connection(account, replace(GREETING, user_id="", field_errors=(refused,)), ASKED, [])
    assert "me:read" in found[0].fix


@pytest.mark.parametrize(
    ("served", "kinds", "words"),
    [
        ("2026-07", {"2026-10": "current"}, "2026-10 was asked for, 2026-07 answered"),
        ("2026-10", {"2026-10": "deprecated", "2027-04": "current"}, "2026-10 is deprecated"),
        ("", {}, "an unknown one answered"),
    ],
)
def test_another_version_or_a_deprecated_one_is_a_fault(
    account: FakeAccount, served: str, kinds: dict[str, str], words: str
) -> None:
    greeting = replace(GREETING, version_value=served, version_kind="", versions=kinds)
    (fault,) = _faults(findings := check_connection(account, greeting, ASKED, []))
    assert words in fault
    current = next((version for version, kind in kinds.items() if kind == "current"), "calls current")
    assert current in findings[1].fix


@pytest.mark.parametrize("kind", ["maintenance", "previous_maintenance", "old__maintenance"])
def test_a_version_that_is_about_to_end_is_a_warning_that_names_the_current_one(
    account: FakeAccount, kind: str
) -> None:
    greeting = replace(GREETING, versions={"2026-10": kind, "2027-01": "current"})
    (warning,) = _warnings(findings := check_connection(account, greeting, ASKED, []))
    assert "2026-10 answers, but Monday is about to end it" in warning
    assert "2027-01" in findings[1].fix


def test_a_plan_that_isn_t_told_is_a_warning_with_the_reason(account: FakeAccount) -> None:
    refused = errors.PermissionMissing("Field not allowed.", path=["account"])
    greeting = replace(GREETING, tier="", day_limit=None, field_errors=(refused,))
    assert _warnings(check_connection(account, greeting, ASKED, [])) == [
        "Monday doesn't tell the account's plan and its calls a day (Field not allowed)."
    ]


def test_boards_that_can_t_be_read_are_a_fault_and_the_rest_is_told(account: FakeAccount) -> None:
    account.failing["boards"] = errors.ServerFailed("Internal Server Error")
    assert _faults(check_connection(account, GREETING, ASKED, [CHECK])) == ["Internal Server Error"]


@pytest.mark.parametrize("state", ["archived", "deleted"])
def test_a_removed_board_is_a_fault(account: FakeAccount, state: str) -> None:
    account.boards["7"]["state"] = state
    assert _faults(check_connection(account, GREETING, ASKED, [CHECK])) == [f"Contacts: board 7 is {state}."]


def test_a_board_that_isn_t_set_or_isn_t_seen_is_a_fault(account: FakeAccount) -> None:
    checks = [BoardCheck("Contacts", None), BoardCheck("Organizations", "99")]
    assert _faults(check_connection(account, GREETING, ASKED, checks)) == [
        "Contacts: no board is set.",
        "Organizations: board 99 isn't there, or is hidden.",
    ]


def test_a_missing_column_and_one_of_another_type_are_faults(account: FakeAccount) -> None:
    check = replace(
        _check(account),
        columns={"email_x": ColumnCheck("Email", ("text", "phone")), "gone": ColumnCheck("Notes", ("long_text",))},
    )
    assert _faults(check_connection(account, GREETING, ASKED, [check])) == [
        "Contacts: column “Email” (email_x) is of type email, not text or phone.",
        "Contacts: column “Notes” (gone) is missing.",
    ]


def test_a_webhook_that_is_gone_is_a_fault_and_others_webhooks_don_t_count(account: FakeAccount) -> None:
    check = _check(account)
    account.hooks.pop(check.hook_ids[0])
    account.hooks["5"] = {"id": "5", "event": "create_item"}
    assert _faults(check_connection(account, GREETING, ASKED, [check])) == [
        "Contacts: no webhook of ours for create_item."
    ]


def test_webhooks_that_can_t_be_read_are_a_fault_and_the_rest_is_still_examined(account: FakeAccount) -> None:
    check = _check(account)
    account.failing["webhooks"] = errors.PermissionMissing("missing webhooks:read")
    assert _faults(check_connection(account, GREETING, ASKED, [check])) == ["Contacts: the webhooks can't be read."]


def _column(account: FakeAccount, kind: str, settings: object) -> None:
    account.boards["7"]["columns"].append(
        {"id": "c", "title": "C", "type": kind, "archived": False, "settings": settings}
    )


def test_a_relation_that_leads_to_another_board_is_a_fault(account: FakeAccount) -> None:
    _column(account, "board_relation", {"boardIds": [8]})
    wanted = ColumnCheck("Organization", ("board_relation",), target_board="9")
    check = replace(_check(account), columns={"c": wanted})
    assert _faults(check_connection(account, GREETING, ASKED, [check])) == [
        "Contacts: column “Organization” (c) doesn't lead to board 9."
    ]


def test_labels_that_are_gone_are_a_warning(account: FakeAccount) -> None:
    _column(account, "status", {"labels": [{"id": 1, "label": "Done"}]})
    wanted = ColumnCheck("State", ("status",), labels=frozenset({"Done", "Stuck"}))
    check = replace(_check(account), columns={"c": wanted})
    assert _warnings(check_connection(account, GREETING, ASKED, [check])) == [
        "Contacts: column “State” (c) has lost the labels Stuck."
    ]


def test_a_group_for_new_items_that_is_gone_is_a_fault(account: FakeAccount) -> None:
    check = replace(_check(account), group_id="gone")
    (fault,) = _faults(check_connection(account, GREETING, ASKED, [check]))
    assert "the group gone, to which new items go, is archived or deleted" in fault


@pytest.mark.parametrize(("count", "level"), [(9_499, "ok"), (9_500, "warning"), (10_000, "problem")])
def test_the_room_on_a_board_is_told_before_it_is_full(account: FakeAccount, count: int, level: str) -> None:
    account.boards["7"] |= {"items_count": count, "items_limit": 10_000}
    findings = check_connection(account, GREETING, ASKED, [_check(account)])
    (found,) = [finding for finding in findings if "items are on the board" in finding.message]
    assert (found.level, f"{count:,} of at most 10,000" in found.message) == (level, True)


def test_webhooks_of_ours_to_a_former_address_are_a_fault(account: FakeAccount) -> None:
    old, _ = ensure_webhooks(account, "7", "https://old.test/", {})
    check = replace(_check(account), former_hook_ids=[hook.id for hook in old])
    assert _faults(check_connection(account, GREETING, ASKED, [check])) == [
        "Contacts: 7 webhooks of ours go to a former address of this installation."
    ]


def test_webhooks_of_ours_that_stand_twice_are_a_warning(account: FakeAccount) -> None:
    check = _check(account)
    account.hooks["500"] = {"id": "500", "event": "create_item"}
    check = replace(check, hook_ids=[*check.hook_ids, "500"])
    assert _warnings(check_connection(account, GREETING, ASKED, [check])) == [
        "Contacts: webhooks of ours exist twice, for create_item."
    ]


def test_a_second_full_set_of_webhooks_is_a_warning(account: FakeAccount) -> None:
    check = _check(account)
    account.hooks |= {f"x{event}": {"id": f"x{event}", "event": event} for event in WEBHOOK_EVENTS}
    assert _warnings(check_connection(account, GREETING, ASKED, [check])) == [
        "Contacts: a second full set of webhooks is on the board, and it isn't ours."
    ]


def test_a_required_column_that_no_field_fills_is_a_fault(account: FakeAccount) -> None:
    account.boards["7"]["columns"] += [{"id": "region", "title": "Region", "type": "text", "archived": False}]
    account.rules["7"] = {"required_column_ids": ["email_x", "region", "gone"], "rules": None}
    (fault,) = _faults(check_connection(account, GREETING, ASKED, [_check(account)]))
    assert "requires “Region” (region)" in fault


def test_rules_that_can_not_be_checked_before_a_value_is_sent_are_a_warning(account: FakeAccount) -> None:
    group = {"groups": [{"operator": "IS_NOT_EMPTY", "column_id": "email_x"}]}
    account.rules["7"] = {"required_column_ids": None, "rules": {"a": {"if": group, "then": group}}}
    (warning,) = _warnings(check_connection(account, GREETING, ASKED, [_check(account)]))
    assert "1 validation rule depends" in warning
