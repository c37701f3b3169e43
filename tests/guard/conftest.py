"""The world of the engine's tests, with a guard that lets two records an hour pass, whatever their share."""

from typing import Any

import pytest
from django.contrib.auth.models import User


@pytest.fixture(autouse=True)
def narrow_guard(settings: Any) -> None:
    settings.GUARD_RECORDS, settings.GUARD_PERCENT = 2, 0


@pytest.fixture
def mary(transactional_db: None) -> User:
    return User.objects.create_superuser("mary", password="secret")
