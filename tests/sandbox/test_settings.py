"""What a new column may be."""

from typing import Any

import pytest

from tests.sandbox.conftest import Simulator

CREATE = """mutation ($b: ID!, $i: String, $t: ColumnType!, $d: JSON) {
  create_column(board_id: $b, title: "Stage", id: $i, column_type: $t, defaults: $d) { id settings } }"""


@pytest.mark.parametrize(
    "labels", [{str(one): f"label {one}" for one in range(41)}, {"1": "x" * 31}, [{"label": 5, "index": 1}]]
)
def test_a_status_takes_40_labels_of_30_characters(simulator: Simulator, board: str, labels: Any) -> None:
    error = simulator.refusal(CREATE, b=board, i="phase", t="status", d={"labels": labels})
    assert error["extensions"]["code"] == "InvalidArgumentException"


@pytest.mark.parametrize("column_id", ["With-Dash", "digits1", "x" * 21, "role", "name"])
def test_a_column_id_is_short_plain_and_new(simulator: Simulator, board: str, column_id: str) -> None:
    error = simulator.refusal(CREATE, b=board, i=column_id, t="text", d=None)
    assert error["extensions"]["code"] == "InvalidArgumentException"
