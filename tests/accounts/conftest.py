"""A user for the sign-in tests."""

from typing import Any

import pytest
from django.contrib.auth.models import User


@pytest.fixture
def ada(db: None, settings: Any) -> User:
    settings.MFA_TOTP_TOLERANCE = 1  # a 30-second step may end between making a code and checking it
    return User.objects.create_superuser("ada", "ada@example.test", "right")


@pytest.fixture
def person(ada: User) -> User:
    return ada
