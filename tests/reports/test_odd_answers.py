"""Odd answers of Monday: parts that are missing, a listing that shifts, an item with other values or without cells."""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.operations.comparison import compare_board
from tests.engine.test_relations import choose_on_board, connected, organization
from tests.support.cases import each_once
from tests.support.world import World, mail

__all__ = ["connected"]

Change = Callable[[str, dict[str, Any]], None]


def changing_answers(world: World, change: Change, kind: str = "query") -> None:
    """Let `change(query, data)` alter Monday's answers to queries, or to mutations, as no fault of the sandbox can."""
    send = HTTPAdapter.send

    def changed(adapter: HTTPAdapter, request: Any, **options: Any) -> Any:
        answer = send(adapter, request, **options)
        query = json.loads(request.body).get("query", "") if request.url == world.sandbox.api_url else ""
        if not query.startswith(kind):
            return answer
        body = json.loads(answer.content)
        change(query, body.get("data") or {})
        left_out = ("content-length", "content-encoding")
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in left_out}
        raw = HTTPResponse(
            io.BytesIO(json.dumps(body).encode()), headers=headers, status=answer.status_code, preload_content=False
        )
        return adapter.build_response(request, raw)

    world.patch.setattr(HTTPAdapter, "send", changed)


def objects_in(node: Any) -> Iterator[dict[str, Any]]:
    """Every object within an answer."""
    if isinstance(node, dict):
        yield node
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from objects_in(part)


@pytest.mark.parametrize("column", ["role_title", "email", "phone", "notes"])
def test_a_write_that_is_made_asks_nobody_though_its_answer_shows_the_cell_as_empty(world: World, column: str) -> None:
    first, second, third = {
        "email": ("a@example.org", "b@example.org", "c@example.org"),
        "phone": ("+442079460011", "+442079460012", "+442079460013"),
    }.get(column, ("One", "Two", "Three"))
    ann = world.linked("Ann", **{column: first})
    world.pass_time(minutes=30)

    def change(query: str, data: dict[str, Any]) -> None:
        for cell in objects_in(data):
            if cell.get("id") == column:
                emptied = {"text", "value", "email", "phone", "label", "country_short_name"} & cell.keys()
                cell.update(dict.fromkeys(emptied))

    changing_answers(world, change, "mutation")
    for value in (second, third):
        world.save(ann, **{column: value})
        world.work(seconds=5)
    world.hear(ann, rounds=3, minutes=2)
    assert (world.values(ann)[column], getattr(ann, column)) == (third, third)
    assert not SyncConflict.objects.exists()


def test_a_saved_name_is_kept_though_its_writes_answer_lacks_the_cells_and_reads_lag(world: World) -> None:
    ann = world.linked("Ann", role_title="Old")
    world.pass_time(minutes=30)

    def change(query: str, data: dict[str, Any]) -> None:
        for item in objects_in(data):
            if "column_values" in item:
                item["column_values"] = []

    world.sandbox.faults({"lag": "all", "edits": 0, "writes": 8})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "patch", patch)
        changing_answers(world, change, "mutation")
        world.save(ann, name="Anna", role_title="New")
    world.save(ann, notes="Likes tea")  # before the webhooks come
    world.hear(ann, rounds=4, minutes=5)
    assert (ann.name, ann.role_title, world.status(ann)) == ("Anna", "New", "synced")
    assert (world.values(ann)["name"], world.values(ann)["role_title"]) == ("Anna", "New")


def test_a_listing_that_shows_one_item_twice_and_another_never_loses_nobody(world: World) -> None:
    world.list_in_pages_of_eight()
    Contact.objects.bulk_create([Contact(name=f"P{n:03}", email=f"p{n}@example.com") for n in range(12)])
    world.hear(rounds=3, minutes=1)
    first_items: list[Any] = []

    def change(query: str, data: dict[str, Any]) -> None:
        if first_items and "next_items_page" in query and data.get("page", {}).get("items"):
            data["page"]["items"][0] = first_items[0]
        elif isinstance(data.get("page"), list):
            first_items[:] = data["page"][0]["items_page"]["items"][:1]

    changing_answers(world, change)
    compare_board(world.link())
    assert first_items
    for _ in range(3):
        world.work(minutes=11)
    assert (Contact.objects.count(), len(world.sandbox.items())) == (12, 12)
    assert not Contact.objects.exclude(sync_status="synced").exists()


def test_an_item_that_is_full_takes_what_still_fits_and_says_so_of_the_rest(world: World) -> None:
    world.sandbox.add_column(world.board_id(), "huge", "Huge", "text")
    ann = world.linked("Ann", role_title="Old")
    world.sandbox.control("webhooks", rule="drop")
    world.edit(ann, "huge", "x" * 65_000)
    world.save(ann, notes="n" * 1_500, role_title="New")
    world.hear(ann, rounds=3, minutes=3)
    assert world.values(ann)["role_title"] == "New"
    assert world.block_of(ann, "notes")
    assert world.link().stops == {}


@pytest.mark.parametrize(
    ("base_names_it", "act", "taken_over"),
    [
        (False, "delete", True),
        (True, "delete", True),
        (False, "archive", True),
        (True, "archive", False),
        (False, "", False),
    ],
)
def test_a_connected_column_that_also_names_an_item_that_people_do_not_see(
    connected: World, base_names_it: bool, act: str, taken_over: bool
) -> None:
    """F:34633, F:12887. One that people see, or that may come back, is left to them."""
    acme, beta, gone = organization("Acme"), organization("Beta"), organization("Gone Ltd")
    connected.work()
    ann = connected.linked(organization=gone if base_names_it else acme)
    gone.refresh_from_db()
    connected.pass_time(minutes=1)
    if act:
        connected.sandbox.act(act, item_id=gone.monday_id)

    def name_both(query: str, data: Any) -> None:
        for node in objects_in(data):
            if node.get("linked_item_ids"):
                node["linked_item_ids"] = [gone.monday_id, *node["linked_item_ids"]]

    changing_answers(connected, name_both)
    choose_on_board(connected, ann, beta)
    connected.hear(ann, rounds=3, minutes=5)
    assert (ann.organization == beta) is taken_over
    assert connected.status(ann) == ("synced" if taken_over else "pending")
    block = connected.block_of(ann, "organization")
    assert ("Gone Ltd" in block and "archived" in block) is (base_names_it and not taken_over)


def once(query: str, change: Callable[[dict[str, Any]], None]) -> Change:
    """Return a change of the first answer to a query with this text."""
    pending = [change]

    def change_first(document: str, data: dict[str, Any]) -> None:
        if pending and query in document:
            pending.pop()(data)

    return change_first


@pytest.mark.parametrize("answered", [(), ("board",), ("board", "by_npd_id"), ("by_npd_id", "by_match")])
def test_an_answer_without_what_was_asked_for_makes_no_second_item(world: World, answered: Sequence[str]) -> None:
    there = {"name": "Ann", "values": {"email": mail("ann@example.org")}}
    world.sandbox.control("items", board_id=world.board_id(), items=[there])

    def leave_out(data: dict[str, Any]) -> None:
        for alias in data.keys() - {"complexity", *answered}:
            del data[alias]

    changing_answers(world, once("by_match", leave_out))
    ann = world.contact("Ann", email="ann@example.org")
    world.hear(ann, rounds=3, minutes=1)
    assert (len(world.sandbox.items()), world.status(ann)) == (1, "synced")


def test_an_error_that_names_no_part_of_the_answer_makes_no_second_item(world: World) -> None:
    there = {"name": "Ann", "values": {"email": mail("ann@example.org")}}
    world.sandbox.control("items", board_id=world.board_id(), items=[there])
    found_nothing = {
        "data": {
            "board": [{"id": world.board_id(), "state": "active"}],
            "by_npd_id": {"cursor": None, "items": []},
            "by_match": [{"items_page": {"cursor": None, "items": []}}],
        },
        "errors": [{"message": "Internal server error", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}],
    }
    world.sandbox.faults({"status": 200, "body": found_nothing, "on": "items_page_by_column_values"})
    ann = world.contact("Ann", email="ann@example.org")
    world.hear(ann, rounds=3, minutes=1)
    assert (len(world.sandbox.items()), world.status(ann)) == (1, "synced")


def without_cells(data: dict[str, Any]) -> None:
    for node in objects_in(data):
        if "column_values" in node:
            node["column_values"] = []


def without_role(data: dict[str, Any]) -> None:
    for node in objects_in(data):
        if "column_values" in node:
            node["column_values"] = [cell for cell in node["column_values"] if cell["id"] != "role_title"]


def without_name(data: dict[str, Any]) -> None:
    for node in objects_in(data):
        if "column_values" in node:
            node["name"] = None


@pytest.mark.parametrize(
    ("change", "is_on_board"), each_once([without_cells, without_role, without_name], [False, True])
)
def test_a_cell_that_an_answer_lacks_is_read_again(
    world: World, change: Callable[[dict[str, Any]], None], is_on_board: bool
) -> None:
    ann = world.linked("Ann", role_title="Old")
    world.pass_time(minutes=30)
    changing_answers(world, once("ReadItems", change))
    key = "name" if change is without_name else "role_title"
    if is_on_board:
        world.edit(ann, key, "New")
    else:
        Contact.objects.filter(pk=ann.pk).update(**{key: "New"})
    world.hear(ann)
    assert world.status(ann) == "pending"
    world.hear(ann, seconds=2.6)
    assert (getattr(ann, key), world.values(ann)[key], world.status(ann)) == ("New", "New", "synced")


@pytest.mark.parametrize("failing", ["text", "value"])
def test_a_cell_for_which_an_answer_has_an_error_is_read_again(world: World, failing: str) -> None:
    ann = world.linked("Ann", role_title="Old")
    world.pass_time(minutes=30)
    world.sandbox.faults({"limit": "field", "on": failing})
    world.save(ann, role_title="New")
    assert (world.values(ann)["role_title"], world.status(ann)) == ("Old", "pending")
    world.hear(ann, seconds=2.6)
    assert (world.values(ann)["role_title"], world.status(ann)) == ("New", "synced")


def test_a_column_that_stays_hidden_is_read_again_for_ten_minutes(world: World) -> None:
    ann = world.linked("Ann", role_title="Old")
    world.sandbox.control("columns", board_id=int(world.board_id()), column_id="role_title", action="hide")
    world.save(ann, notes="New")
    calls = world.calls_while(120)
    assert (calls, world.status(ann)) == (2, "pending")


CLEARED = {
    "phone": ["{}", '{"phone":"","countryShortName":"GB","changed_at":"2026-11-20T08:00:00Z"}', '{"phone":null}'],
    "email": ["{}", '""', "[]", '{"email":"","text":""}', '{"email":null,"text":null}'],
    "notes": ["{}", "[]", '{"text":"","changed_at":"2026-11-20T08:00:00Z"}', '{"text":null}'],
    "role_title": ["{}", "[]", "", '""', '" "', '{"value":""}'],
}


@pytest.mark.parametrize(("column", "value"), [(column, value) for column in CLEARED for value in CLEARED[column]])
def test_a_cell_that_somebody_emptied_is_empty_in_whatever_form(world: World, column: str, value: str) -> None:
    ann = world.linked("Ann", role_title="Old", phone="+442079460018", email="ann@example.org", notes="n")
    world.pass_time(minutes=30)

    def empty(query: str, data: dict[str, Any]) -> None:
        for node in objects_in(data):
            if node.get("id") == column and "value" in node:
                node.update(value=value, text="")

    changing_answers(world, empty)
    world.sandbox.act("edit", item_id=ann.monday_id, column_id=column, text="")
    world.hear(ann)
    assert (getattr(ann, column), world.status(ann)) == ("", "synced")
