"""A variable that can't be what is meant is named in one sentence, and a secret is not told by it."""

from __future__ import annotations

import re

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import environment

WRONG = [
    ("DATABASE_URL", "postgresql://u:SEC#RET/PW@127.0.0.1:1/db"),
    ("DATABASE_URL", "postgresql://u:12/SECRET@127.0.0.1:1/db"),
    ("DATABASE_URL", "postgresql://u:12?SECRET@127.0.0.1:1/db"),
    ("DATABASE_URL", "postgresql://u:[SECRET@127.0.0.1:1/db"),
    ("DATABASE_URL", "postgres:/u:SECRETPW@127.0.0.1/db"),
    ("DATABASE_URL", "mysql://u:SECRET@h/db"),
    ("REDIS_URL", "foo"),
    ("REDIS_URL", "redis://:SECRET@h:port/0"),
    ("CELERY_BROKER_URL", "SECRET"),
    ("MONDAY_API_KEY", "SECRET key"),
    ("MONDAY_API_KEY", "SECRÉT"),
    ("MONDAY_API_KEY", " "),
    ("PORT", "abc"),
    ("PORT", "0"),
    ("SANDBOX_PORT", "65536"),
    ("EMAIL_PORT", "x"),
    ("SYNC_GUARD_PERCENT", "many"),
    ("SYNC_GUARD_PERCENT", "101"),
    ("SYNC_GUARD_RECORDS", "-1"),
    ("MONDAY_TIMEOUT_SECONDS", "abc"),
    ("MONDAY_TIMEOUT_SECONDS", "-1"),
    ("MONDAY_TIMEOUT_SECONDS", "nan"),
    ("NEW_ITEM_WAIT_SECONDS", "inf"),
    ("LOG_LEVEL", "loud"),
    ("API_THROTTLE", "lots"),
    ("API_THROTTLE", "0/min"),
    ("SYNC_NOW_THROTTLE", "60/year"),
    ("SITE_URL", "npd.example.org"),
    ("SITE_URL", "https://npd.example.org/npd"),
    ("MONDAY_API_URL", "foo"),
    ("MONDAY_WEB_URL", "https://"),
    ("OIDC_SERVER_URL", "https://h:port"),
    ("DEBUG", "maybe"),
    ("EMAIL_USE_TLS", "tls"),
    ("DEFAULT_PHONE_REGION", "Germany"),
    ("MONDAY_CONTACTS_BOARD_ID", "abc"),
    ("MONDAY_PROJECTS_BOARD_ID", "12 34"),
]
RIGHT = [
    ("DATABASE_URL", environment.NOWHERE),
    ("DATABASE_URL", "postgres://u:p%23%2F@[::1]:5432/db?sslmode=require"),
    ("DATABASE_URL", "postgresql:///npd?host=/run/postgresql"),
    ("REDIS_URL", "rediss://:p@h:6379/0"),
    ("CELERY_BROKER_URL", "memory://"),
    ("MONDAY_API_KEY", "eyJhbGciOiJIUzI1NiJ9.e30.x_-"),
    ("SYNC_GUARD_PERCENT", "0"),
    ("MONDAY_SETTLE_SECONDS", "0"),
    ("MONDAY_TIMEOUT_SECONDS", "2.5"),
    ("LOG_LEVEL", "debug"),
    ("API_THROTTLE", "1000000/s"),
    ("SITE_URL", "http://127.0.0.1:8000/"),
    ("MONDAY_API_URL", "https://api.monday.com/v2"),
    ("DEBUG", "False"),
    ("DEFAULT_PHONE_REGION", "de"),
    ("MONDAY_CONTACTS_BOARD_ID", "1234567890"),
    ("PORT", ""),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_what_can_not_be_meant_is_named_and_no_secret_told(name: str, value: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        environment.check_values({name: value})
    said = str(refused.value)
    assert said.startswith(f"{name} ")
    assert not re.search("SEC|RET", said.removeprefix(name))
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize(("name", "value"), RIGHT)
def test_what_may_be_meant_is_taken(name: str, value: str) -> None:
    environment.check_values({name: value})


def test_a_password_beside_an_address_that_is_none_is_a_sentence() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^DATABASE_URL "):
        environment.read_secrets({"DATABASE_URL": "postgresql://u@[h/db", "DATABASE_PASSWORD": "p"})
