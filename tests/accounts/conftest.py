"""Who signs in."""

from typing import Any

import pytest
from django.contrib.auth.models import User


@pytest.fixture
def ada(db: None, settings: Any) -> User:
    settings.MFA_TOTP_TOLERANCE = 1  # a test's half minute may end between a code and its check
    return User.objects.create_superuser("ada", "ada@example.test", "right")


@pytest.fixture
def person(ada: User) -> User:
    return ada
