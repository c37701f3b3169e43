"""Bulk jobs, and the account's users and teams."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.clock import Clock
from sandbox.model import Job
from sandbox.operations import boards, items
from sandbox.world import World
from tests.sandbox.conftest import Receiver, Simulator, wait_until

JOB = "query ($j: ID!) { job_status(job_id: $j) { status error result { total succeeded failed details } } }"
STATES = "query ($i: [ID!]) { items(ids: $i, limit: 100) { id state } }"
USERS = """query ($a: [ID!], $e: [String!], $k: UserKind, $u: UserKindFilterInput, $l: Int, $p: Int) {
  users(ids: $a, emails: $e, kind: $k, user_kind: $u, limit: $l, page: $p) { name kind status } }"""


def start_job(simulator: Simulator, mutation: str, board: str, items: list[str]) -> str:
    document = f"mutation ($b: ID!, $i: [ID!]!) {{ {mutation}(board_id: $b, item_ids: $i) {{ job_id }} }}"
    job: str = simulator.data(document, b=board, i=items)[mutation]["job_id"]
    return job


def finished(simulator: Simulator, job: str) -> dict[str, Any]:
    def status() -> Any:
        found = simulator.data(JOB, j=job)["job_status"]
        return found if found["status"] == "COMPLETED" else None

    found: dict[str, Any] = wait_until(status, "the job is done")
    return found


@pytest.mark.parametrize(
    ("mutation", "state"), [("bulk_archive_items", "archived"), ("bulk_delete_items", "deleted")]
)
def test_a_job_takes_many_items_away_and_says_which_it_could_not(
    simulator: Simulator, board: str, receiver: Receiver, mutation: str, state: str
) -> None:
    simulator.subscribe(board, receiver.url, f"item_{state}")
    rows = [{"name": f"Item {number}"} for number in range(70)]
    ids = simulator.control("items", {"board_id": board, "items": rows})
    stranger = simulator.item(simulator.board({}))
    result = finished(simulator, start_job(simulator, mutation, board, [*ids[:60], stranger]))["result"]
    assert (result["total"], result["succeeded"], result["failed"]) == (61, 60, 1)
    assert result["details"] == {"failed_ids": [stranger]}
    states = {one["id"]: one["state"] for one in simulator.data(STATES, i=ids[:50])["items"]}
    assert set(states.values()) == {state}
    logs = simulator.data(
        "query ($b: [ID!]) { boards(ids: $b) { items_count activity_logs(limit: 2) { event entity } } }",
        b=[board],
    )["boards"][0]
    assert logs["items_count"] == 10
    assert {(row["event"], row["entity"]) for row in logs["activity_logs"]} == {
        (f"batch_{state.removesuffix('d')}_pulses", "board")
    }
    assert len(simulator.read("webhooks")["deliveries"]) == 60


def test_a_job_is_undone_once(simulator: Simulator, board: str) -> None:
    item = simulator.item(board)
    job = start_job(simulator, "bulk_delete_items", board, [item])
    finished(simulator, job)
    undo = "mutation ($j: ID!) { undo_action(job_id: $j) { success } }"
    assert simulator.data(undo, j=job)["undo_action"]["success"] is True
    assert simulator.data(STATES, i=[item])["items"] == [{"id": item, "state": "active"}]
    assert simulator.data(undo, j=job)["undo_action"]["success"] is False


def test_undoing_a_job_leaves_what_somebody_deleted_since(simulator: Simulator, board: str) -> None:
    kept, gone = simulator.item(board, "Ada"), simulator.item(board, "Bo")
    start = "mutation ($b: ID!, $i: [ID!]!) { bulk_archive_items(board_id: $b, item_ids: $i) { job_id } }"
    job = simulator.data(start, b=board, i=[kept, gone])["bulk_archive_items"]["job_id"]
    wait_until(lambda: simulator.data(JOB, j=job)["job_status"]["status"] == "COMPLETED", "the job ends")
    simulator.data("mutation ($i: ID) { delete_item(item_id: $i) { id } }", i=gone)
    simulator.data("mutation ($j: ID!) { undo_action(job_id: $j) { success } }", j=job)
    states = {one["id"]: one["state"] for one in simulator.data(STATES, i=[kept, gone])["items"]}
    assert states == {kept: "active", gone: "deleted"}


def test_an_unknown_job_is_refused(simulator: Simulator) -> None:
    assert simulator.refusal(JOB, j="nothing")["extensions"]["code"] == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({}, ["NPD Sync", "Maya Lind", "Tom Okafor", "Noor Haddad", "Ines Duarte"]),
        ({"a": ["67210012", "1"]}, ["Tom Okafor"]),
        ({"e": ["MAYA@sandbox.example"]}, ["Maya Lind"]),
        ({"k": "guests"}, ["Ines Duarte"]),
        ({"k": "non_guests", "l": 2, "p": 2}, ["Tom Okafor", "Noor Haddad"]),
        ({"u": {"in": ["ADMIN"]}}, ["NPD Sync"]),
        ({"u": {"not_in": ["MEMBER", "GUEST"]}}, ["NPD Sync"]),
    ],
)
def test_users_are_found_by_id_address_and_kind(
    simulator: Simulator, asked: dict[str, Any], names: list[str]
) -> None:
    assert [one["name"] for one in simulator.data(USERS, **asked)["users"]] == names


def test_users_takes_a_thousand_at_a_time_at_most(simulator: Simulator) -> None:
    assert "1000" in simulator.refusal(USERS, l=1001)["message"]


def test_teams_know_their_members(simulator: Simulator) -> None:
    found = simulator.data("{ teams { name users { name teams { name } } } }")["teams"]
    assert found[0] == {
        "name": "Sales",
        "users": [{"name": name, "teams": [{"name": "Sales"}]} for name in ("Maya Lind", "Tom Okafor")],
    }


def test_automations_act_as_a_user_who_is_nobody(
    simulator: Simulator, board: str, receiver: Receiver
) -> None:
    simulator.subscribe(board, receiver.url, "change_column_value")
    item = simulator.item(board)
    edit = {"action": "edit", "user_id": -4, "item_id": item, "column_id": "role", "text": "Buyer"}
    simulator.control("actions", edit)
    assert receiver.wait()[0]["userId"] == -4
    rows = simulator.data(
        'query ($b: [ID!]) { boards(ids: $b) { activity_logs(user_ids: ["-4"]) { user_id event } } }',
        b=[board],
    )["boards"][0]["activity_logs"]
    assert rows == [{"user_id": "-4", "event": "update_column_value"}]
    assert simulator.data(USERS, a=["-4"])["users"] == []


def test_subitems_updates_and_tags_survive_the_process(
    start: Callable[..., Simulator], tmp_path: Path
) -> None:
    one = start("--data", str(tmp_path / "boards.db"))
    board = one.board({"topics": "tags"})
    tag = one.data('mutation { create_or_get_tag(tag_name: "Export") { id } }')["create_or_get_tag"]["id"]
    item = one.item(board, topics={"tag_ids": [tag]})
    one.control("actions", {"action": "add_subitem", "item_id": item, "name": "part"})
    one.control("actions", {"action": "create_update", "item_id": item, "body": "Hello"})
    job = start_job(one, "bulk_archive_items", board, [one.item(board)])
    finished(one, job)
    document = """query ($i: [ID!]) { items(ids: $i) { subitems { name } updates { text_body }
      column_values(ids: ["topics"]) { text } } }"""
    before = one.data(document, i=[item])
    assert before["items"][0]["column_values"] == [{"text": "Export"}]
    one.stop(kill=True)
    one.start()
    assert one.data(document, i=[item]) == before
    assert one.data(JOB, j=job)["job_status"]["status"] == "COMPLETED"
    again = one.data('mutation { create_or_get_tag(tag_name: "Export") { id } }')
    assert again["create_or_get_tag"]["id"] == tag


def test_a_job_that_a_killed_sandbox_left_goes_on(start: Callable[..., Simulator], tmp_path: Path) -> None:
    path = str(tmp_path / "boards.db")
    world = World(Clock(), path)
    board = boards.create_board(world, 67210000, "Contacts", "public", empty=True)
    ids = items.load_items(world, board.id, [{"name": f"Item {number}"} for number in range(60)])
    stamp = world.clock.stamp()
    left = Job("a-job", board.id, 67210000, "archived", ids, stamp, stamp, "RUNNING", succeeded=ids[:10])
    with world.transaction():
        world.put_job(left)
    world.close()
    one = start("--data", path)
    assert finished(one, "a-job")["result"]["succeeded"] == 60
    states = one.data(STATES, i=[str(number) for number in ids])["items"]
    # The first ten were said to be done; a job that goes on does not touch them again.
    assert [item["state"] for item in states] == ["active"] * 10 + ["archived"] * 50
