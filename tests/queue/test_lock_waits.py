"""How long a transaction waits for the locks of others."""

import pytest
from django.db import transaction

from sync.kernel.db import fetch_rows, limit_lock_waits, run_sql

pytestmark = pytest.mark.django_db


def longest_wait() -> str:
    return str(fetch_rows("SHOW lock_timeout")[0][0])


def allow(wait: str) -> None:
    run_sql("SELECT set_config('lock_timeout', %s, true)", [wait])


@pytest.mark.parametrize(
    ("before", "within"), [("0", "10s"), ("2min", "10s"), ("10s", "10s"), ("50ms", "50ms"), ("9999ms", "9999ms")]
)
def test_no_wait_passes_the_bound_and_a_shorter_one_lasts_the_transaction(before: str, within: str) -> None:
    with transaction.atomic():
        allow(before)
        limit_lock_waits()
        assert longest_wait() == within


@pytest.mark.django_db(transaction=True)
def test_the_next_transaction_has_the_waits_of_its_connection() -> None:
    with transaction.atomic():
        limit_lock_waits()
        assert longest_wait() == "10s"
    assert longest_wait() == "0"
