"""Why rows wait when several things hold them at once: the longest wait is named."""

from datetime import timedelta
from typing import Any

import pytest

from sync.boards import availability
from sync.clock import sync_now
from sync.limits import api_quota, breaker
from sync.limits.api_quota import WaitKind
from sync.limits.board_limits import probed_availability
from sync.models import BoardLink
from sync.monday.errors import CONNECTION_LOST, MondayError
from tests.admin import states
from tests.metrics.test_page import changes_are_gathered, noon

__all__ = ["noon"]

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def boards(settings: Any) -> dict[str, BoardLink]:
    settings.MONDAY_API_KEY = "token-that-no-page-may-show"
    return states.boards()


@pytest.fixture
def gathering(noon: None, boards: dict[str, BoardLink]) -> None:
    """An edit on Monday waits while the board gathers changes."""
    states.candidate("7001", seconds=-1)
    changes_are_gathered(boards["contact"])


@pytest.mark.parametrize(("of_account", "of_board"), [(5, 20), (20, 5)])
def test_of_two_errors_the_one_that_lasts_longer_gives_the_reason_and_the_time(of_account: int, of_board: int) -> None:
    now = sync_now().replace(second=0, microsecond=0)
    states.stop_account(now + timedelta(minutes=of_account), "Monday asks to wait.")
    states.stop_board("contact", now + timedelta(minutes=of_board))
    status = availability.of("contact")
    assert status.until == now + timedelta(minutes=20)
    kind = WaitKind.BOARD if of_board > of_account else WaitKind.ACCOUNT
    assert status.reason_code is kind is availability.Overview().displayed_by_type["contact"].reason_code
    assert status.detail.startswith("The board" if kind is WaitKind.BOARD else "Monday asks")
    assert f"{status.until:%H:%M}" in status.detail


def test_a_worker_is_told_what_the_pages_say(gathering: None) -> None:
    status, wait = availability.of("contact"), probed_availability("contact")
    assert not wait.is_available
    assert (wait.reason_code, wait.detail, wait.until) == (status.reason_code, status.detail, status.until)


def test_the_permission_to_work_is_three_statements(django_assert_num_queries: Any) -> None:
    with api_quota.lock_quota():
        pass
    with django_assert_num_queries(3):  # link and lease, account, quota
        assert probed_availability("contact").is_available


def test_where_our_own_quota_has_no_room_for_the_probe_the_account_stays_stopped() -> None:
    breaker.stop_account(MondayError(CONNECTION_LOST, "no answer"))
    states.stop_account(sync_now() - timedelta(seconds=1), needs_probe=True)
    with api_quota.lock_quota() as quota:
        quota.day_limit = 10
        quota.day_calls = 10
    assert availability.of("contact").reason_code is WaitKind.QUOTA
    wait = probed_availability("contact")
    assert wait.reason_code is WaitKind.ACCOUNT
    assert wait.detail.endswith("It continues once Monday has answered.")


def test_without_a_key_a_type_without_a_board_says_the_key(settings: Any) -> None:
    BoardLink.objects.all().delete()
    assert availability.of("contact").reason_code is WaitKind.NO_BOARD
    settings.MONDAY_API_KEY = ""
    assert availability.of("contact").reason_code is WaitKind.NOT_CONFIGURED
