"""When Monday refuses, fails or doesn't answer: nothing is lost or made twice, and the record says why."""

from typing import Any

import pytest
from requests.adapters import HTTPAdapter
from structlog.testing import capture_logs

from npd.models import Contact
from sync.boards import availability
from sync.models import BoardLink, Intent, MondayAccount, SyncQueue
from sync.models.boards_and_account import ALL_WRITES
from tests.support.world import World


def test_a_change_whose_answer_was_lost_is_found_out_about(world: World) -> None:
    contact = world.linked(role_title="Boss")
    Contact.objects.filter(pk=contact.pk).update(role_title="Chair")
    world.sandbox.faults({"timeout": "after"})
    world.work()
    assert Intent.objects.filter(state="open").count() == 1
    Contact.objects.filter(pk=contact.pk).update(notes="edited meanwhile")
    world.work(seconds=20)
    assert world.values(contact)["notes"] == ""
    world.settle()
    assert world.status(contact) == "synced"
    assert (world.values(contact)["role_title"], world.values(contact)["notes"]) == ("Chair", "edited meanwhile")
    assert not Intent.objects.filter(state="open").exists()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_create_whose_answer_was_lost_makes_one_item(world: World, moment: str) -> None:
    contacts = [world.contact(f"P{n}", email=f"p{n}@example.com", notes="n") for n in range(5)]
    world.sandbox.faults({"timeout": moment})
    world.work()
    world.settle()
    assert sorted(item["name"] for item in world.sandbox.items()) == [f"P{n}" for n in range(5)]
    creates = [c for c in world.sandbox.calls() if "create_item" in c["fields"]]
    assert len({c["idempotency_key"] for c in creates}) == 1
    assert {world.status(c) for c in contacts} == {"synced"}
    assert not Intent.objects.filter(state="open").exists()


@pytest.mark.parametrize(
    ("late", "is_heard", "refusal"),
    [
        ("searches", True, {}),
        ("searches", False, {"no_data": True}),
        ("searches", False, {"code": "InvalidArgumentException"}),
        ("all", True, {"code": "UserUnauthorizedException"}),
        ("all", True, {"code": "InvalidArgumentException"}),
        ("all", False, {}),
    ],
)
def test_a_create_that_was_carried_out_and_answered_as_refused_makes_one_item_though_searches_are_late(
    world: World, late: str, is_heard: bool, refusal: dict[str, Any]
) -> None:
    world.sandbox.faults({"lag": late if late == "all" else [late], "edits": 300, "writes": 300})
    world.sandbox.control("faults", partial={"every": 1, "applied": True, **refusal}, on="create_item")
    ann = world.contact("Ann", email="ann@example.org", notes="Likes tea")
    for seconds in (0, 3, 20, 70, 70, 70):
        (world.hear if is_heard else world.work)(seconds=seconds)
    world.hear(rounds=3, minutes=10)
    assert [item["name"] for item in world.sandbox.all_items()] == ["Ann"]
    assert (world.status(ann), world.values(ann)["notes"]) == ("synced", "Likes tea")


def test_each_request_of_a_pass_counts(world: World) -> None:
    """Also the log and the items by which a pass finds out about a create that was refused and carried out."""
    world.sandbox.faults({"lag": ["searches"], "edits": 300, "writes": 300})
    refusal = {"every": 1, "applied": True, "code": "InvalidArgumentException"}
    world.sandbox.control("faults", partial=refusal, on="create_item")
    world.contact("Ann")
    world.work()
    before = world.calls()
    with capture_logs() as lines:
        world.work(seconds=70)
    calls = [line["calls"] for line in lines if line["event"] == "pass done"]
    assert (calls, sum(calls)) == ([3, 1], world.calls() - before), "a read, the log, and the item; then it is linked"


def test_a_lost_create_that_is_written_when_it_is_sent_again_shows_that_writes_work(world: World) -> None:
    """Otherwise the next failure would count as the second in a row, and stop all writes."""
    world.contact("Ann")
    world.sandbox.faults({"timeout": "before"})
    world.work()
    assert ALL_WRITES in MondayAccount.objects.get().stops
    world.settle()
    assert len(world.sandbox.items()) == 1
    assert MondayAccount.objects.get().stops == {}


def test_a_record_that_waits_is_not_read_over_and_over_for_its_new_items_webhook(world: World) -> None:
    bob = world.linked("Bob")
    world.sandbox.faults({"status": 423, "on": "mutation"})
    world.save(bob, notes="Likes tea")  # from now on the board's changes wait
    ann = world.contact("Ann")

    def hear_and_save() -> None:
        world.deliver()  # the item isn't linked yet, so the webhook's job is the item's
        Contact.objects.filter(pk=ann.pk).update(notes="Likes coffee")

    world.meanwhile(hear_and_save, after="mutation")
    before = world.calls()
    world.work()
    assert world.calls() - before == 3
    world.settle()
    assert (world.status(ann), world.values(ann)["notes"]) == ("synced", "Likes coffee")


def test_a_poison_record_ends_as_a_dead_letter_and_holds_nobody(world: World) -> None:
    poison, fine = world.linked("Poison"), world.linked("Fine")
    Contact.objects.update(notes="new")
    with world.broken(poison):
        for _ in range(6):
            world.work()
            world.pass_time(minutes=70)
    assert world.values(fine)["notes"] == "new"
    row = world.row(poison)
    assert (row.status, row.attempts) == ("failed", 5)
    assert "ValueError" in row.error_message
    assert world.status(poison) == "pending"
    world.queue.manual_retry(row.pk, by="lead")
    world.work()
    assert world.status(poison) == "synced"
    assert not SyncQueue.objects.filter(status="failed").exists()


def test_what_failed_is_stored_without_what_looks_like_a_token(world: World) -> None:
    contact = world.linked("Poison")
    Contact.objects.filter(pk=contact.pk).update(notes="new")
    fault = {"every": 1, "code": "BrandNewException", "message": "GET /v2?access_token=abc123 failed"}
    world.sandbox.control("faults", partial=fault, on="mutation", count=9)
    world.work()
    stored = world.row(contact).error_message + world.sync_state(contact).last_error
    assert "abc123" not in stored
    assert stored.count("access_token=[secret]") == 2


def test_a_lost_create_on_a_board_that_is_gone_holds_this_board_only(world: World) -> None:
    world.contact("Ann")
    world.sandbox.faults({"timeout": "before"})
    world.work()
    world.wait_out()
    world.sandbox.query("mutation ($b: ID!) { archive_board(board_id: $b) { id } }", b=world.board_id())
    world.work()
    assert availability.of("organization").blocked_reason == ""
    assert BoardLink.objects.get(entity_type="contact").stop_of()


@pytest.mark.parametrize("is_log_late", [False, True])
def test_a_create_without_an_answer_is_found_in_the_log_where_searches_are_late_and_keys_not_honoured(
    world: World, is_log_late: bool
) -> None:
    """Or by its webhook, where the log is late, too."""
    send = HTTPAdapter.send

    def without_key(adapter: HTTPAdapter, request: Any, **options: Any) -> Any:
        request.headers.pop("Idempotency-Key", None)
        return send(adapter, request, **options)

    world.patch.setattr(HTTPAdapter, "send", without_key)
    world.sandbox.control("faults", lag=["searches"], writes=600)
    world.sandbox.control("faults", timeout="after", count=1)
    if is_log_late:
        world.sandbox.control("faults", late_rows=[600])
    else:
        world.sandbox.control("webhooks", rule="drop", count=None)
    others = [world.contact(f"P{n}", email=f"p{n}@example.com") for n in range(3)]
    before = world.calls()
    for _ in range(8):
        world.hear(seconds=30)
    assert [world.status(contact) for contact in others] == ["synced"] * 3
    assert len(world.sandbox.items()) == 3
    # The create, the search, the log, the items, and the pass that reads and compares them.
    assert world.calls() - before <= 7
