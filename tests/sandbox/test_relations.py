"""Connected boards."""

from typing import Any

from tests.sandbox.conftest import Simulator

LINKED = """query ($i: [ID!]) { items(ids: $i) { column_values(ids: ["firm"]) {
  ... on BoardRelationValue { linked_item_ids } } } }"""


def related(simulator: Simulator, target: str, **settings: Any) -> str:
    """A board with a column `firm` that is connected to `target`."""
    board = simulator.board({})
    simulator.data(
        'mutation ($b: ID!, $d: JSON) { create_column(board_id: $b, title: "Firm", id: "firm",'
        " column_type: board_relation, defaults: $d) { id settings } }",
        b=board,
        d={"boardIds": [int(target)], **settings},
    )
    return board


def test_a_relation_takes_only_items_of_its_boards_and_one_where_it_says_so(simulator: Simulator) -> None:
    firms, other_board = simulator.board({}), simulator.board({})
    first, second, stranger = simulator.item(firms), simulator.item(firms), simulator.item(other_board)
    single = related(simulator, firms, allowMultipleItems=False)
    several = related(simulator, firms)
    for board, ids, words in (
        (several, [stranger], "not in the connected boards"),
        (several, ["12"], "no item"),
        (single, [first, second], "one item"),
        (several, "text", "simple strings"),
    ):
        item = simulator.item(board)
        written = {"item_ids": ids} if isinstance(ids, list) else ids
        (error,) = simulator.change(board, item, {"firm": written})["errors"]
        assert (error["extensions"]["code"], words in error["message"]) == ("ColumnValueException", True)
    item = simulator.item(several, firm={"item_ids": [int(first), second]})
    (read_item,) = simulator.data(LINKED, i=[item])["items"]
    assert read_item["column_values"] == [{"linked_item_ids": [first, second]}]
