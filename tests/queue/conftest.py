"""A board whose lease workers take."""

import pytest

from sync.models import BoardLink


@pytest.fixture
def link() -> BoardLink:
    return BoardLink.objects.create(entity_type="contact", board_id="1", npd_id_column="npd_id", match_key="email")
