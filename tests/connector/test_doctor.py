"""The examination names each fault and how it is mended."""

from dataclasses import replace

import pytest

from sync.connectors.monday import errors
from sync.connectors.monday.doctor import BoardCheck, Finding, examine
from sync.connectors.monday.hooks import ensure_webhooks
from tests.connector.fake_account import FakeAccount

CHECK = BoardCheck("Contacts", "7", {"name": ("Name", "name"), "email_x": ("Email", "email")})


@pytest.fixture
def account() -> FakeAccount:
    account = FakeAccount()
    account.add_board("7", {"id": "email_x", "title": "Email", "type": "email", "archived": False})
    return account


def _faults(findings: list[Finding]) -> list[str]:
    assert all(bool(finding.mend) is not finding.ok for finding in findings)
    return [finding.what for finding in findings if not finding.ok]


def _check(account: FakeAccount) -> BoardCheck:
    hooks, _ = ensure_webhooks(account, "7", "https://npd.test/", {})
    return replace(CHECK, hook_ids=[hook.id for hook in hooks])


def test_a_healthy_connection_has_no_fault(account: FakeAccount) -> None:
    findings = examine(account, [_check(account)])
    assert _faults(findings) == []
    assert len(findings) == 5


def test_a_wrong_token_is_the_only_finding(account: FakeAccount) -> None:
    account.failing["me"] = errors.NotAuthenticated("Not authenticated")
    (finding,) = examine(account, [CHECK])
    assert not finding.ok
    assert "MONDAY_API_KEY" in finding.mend


def test_a_token_without_a_user_is_a_fault(account: FakeAccount) -> None:
    account.user = None
    assert "The token belongs to no user." in _faults(examine(account, []))


@pytest.mark.parametrize(
    ("served", "kinds", "words"),
    [
        ("2026-07", {"2026-10": "current"}, "2026-10 was asked for, 2026-07 answered"),
        ("2026-10", {"2026-10": "deprecated"}, "2026-10 is deprecated"),
        ("", {}, "an unknown one answered"),
    ],
)
def test_another_version_or_a_deprecated_one_is_a_fault(
    account: FakeAccount, served: str, kinds: dict[str, str], words: str
) -> None:
    account.served_version, account.kinds = served, kinds
    (fault,) = _faults(examine(account, []))
    assert words in fault


@pytest.mark.parametrize("state", ["archived", "deleted"])
def test_a_removed_board_is_a_fault(account: FakeAccount, state: str) -> None:
    account.boards["7"]["state"] = state
    assert _faults(examine(account, [CHECK])) == [f"Contacts: board 7 is {state}."]


def test_a_board_that_isn_t_set_or_isn_t_seen_is_a_fault(account: FakeAccount) -> None:
    checks = [BoardCheck("Contacts", None), BoardCheck("Organizations", "99")]
    assert _faults(examine(account, checks)) == [
        "Contacts: no board is set.",
        "Organizations: board 99 isn't there, or is hidden.",
    ]


def test_a_missing_column_and_one_of_another_type_are_faults(account: FakeAccount) -> None:
    check = replace(_check(account), columns={"email_x": ("Email", "text"), "gone": ("Notes", "long_text")})
    assert _faults(examine(account, [check])) == [
        "Contacts: column “Email” (email_x) is of type email, not text.",
        "Contacts: column “Notes” (gone) is missing.",
    ]


def test_a_webhook_that_is_gone_is_a_fault_and_others_webhooks_don_t_count(account: FakeAccount) -> None:
    check = _check(account)
    account.hooks.pop(check.hook_ids[0])
    account.hooks["5"] = {"id": "5", "event": "create_item"}
    assert _faults(examine(account, [check])) == ["Contacts: no webhook of ours for create_item."]


def test_webhooks_that_can_t_be_read_are_a_fault_and_the_rest_is_still_examined(account: FakeAccount) -> None:
    check = _check(account)
    account.failing["webhooks"] = errors.PermissionMissing("missing webhooks:read")
    assert _faults(examine(account, [check])) == ["Contacts: the webhooks can't be read."]
