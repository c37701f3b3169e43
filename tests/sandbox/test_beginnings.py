"""What a test begins with is the same where it has just been made and where it is put back."""

from typing import Any

import pytest

from tests.support.prepared import Prepared
from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_beginning_that_was_just_made_is_the_one_that_is_put_back(sandbox: Sandbox, prepared: Prepared) -> None:
    def make() -> str:
        sandbox.control("clock", offset_seconds=500)
        return sandbox.add_board("People")

    def stands() -> dict[str, Any]:
        board = prepared.stand(sandbox, "a board", make)
        assert [shown["id"] for shown in sandbox.boards()] == [board]
        return {"calls": sandbox.calls(), "offset": sandbox.control("clock", "GET")["offset_seconds"]}

    made = stands()
    assert made == stands()
    assert made == {"calls": [], "offset": 0}
