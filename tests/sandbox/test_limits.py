"""Monday's published limits: who is refused, with what body, and what it costs."""

import pytest

from tests.sandbox.conftest import Simulator

CREATE = "mutation ($b: ID!, $n: String!) { create_item(board_id: $b, item_name: $n) { id } }"


@pytest.mark.parametrize("limit", [{"minute": 1}, {"day": 1}, {"points": 30_000}])
def test_a_refused_mutation_did_nothing_and_its_key_is_free(
    simulator: Simulator, board: str, limit: dict[str, int]
) -> None:
    simulator.control("plan", plan="pro", used=0, **limit)
    assert simulator.post(CREATE, {"b": board, "n": "Ada"}, Idempotency_Key="k1").ok
    refused = simulator.post(CREATE, {"b": board, "n": "Bo"}, Idempotency_Key="k2")
    assert refused.status_code == 429
    assert [item["name"] for item in simulator.items()] == ["Ada"]
    simulator.control("plan", plan=None)
    carried_out = simulator.post(CREATE, {"b": board, "n": "Bo"}, Idempotency_Key="k2")
    assert "Idempotency-Replayed" not in carried_out.headers
    assert [item["name"] for item in simulator.items()] == ["Ada", "Bo"]


def test_a_page_costs_no_less_than_a_shorter_one(simulator: Simulator, board: str) -> None:
    field = "boards(ids: $b) { items_page(limit: $n) { items { id } } }"
    page = f"query ($b: [ID!], $n: Int!) {{ complexity {{ query }} {field} }}"
    costs = [simulator.data(page, b=[board], n=rows)["complexity"]["query"] for rows in (1, 2, 50)]
    assert costs == sorted(costs)
