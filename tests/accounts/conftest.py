"""Who signs in."""

import pytest
from django.contrib.auth.models import User


@pytest.fixture
def ada(db: None) -> User:
    """An administrator."""
    return User.objects.create_superuser("ada", "ada@example.test", "right")


@pytest.fixture
def person(ada: User) -> User:
    """Whose browser is opened."""
    return ada
