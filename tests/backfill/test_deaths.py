"""A backfill that is killed, at every point where that makes a difference, and what takes it up again."""

from collections.abc import Callable
from typing import Any

import pytest

from npd.models import Contact
from sync.models import Backfill, Intent
from sync.operations.backfill import open_backfill, run_backfill
from sync.operations.backfill.estimate import BackfillError
from tests.backfill.conftest import Died, Import, lease_is_left_behind

RECORDS = 7
Dies = Callable[..., None]
IMPORT = "sync.connectors.monday.bulk_import."
DEATHS = {  # test_killed_anywhere dies at many others
    "before the file is sent": {"target": f"{IMPORT}upload_file"},
    "when the file is sent, before that is stored": {"target": f"{IMPORT}upload_file", "after": True},
    "while Monday works": {"target": f"{IMPORT}import_status_query"},
}


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several links a run, with few records."""
    monkeypatch.setattr("sync.operations.backfill.RECORDS_PER_SETTLE", 3)


def killed(bulk: Import, dies: Dies, death: dict[str, Any]) -> Backfill:
    """A backfill whose process was killed at this point; its lease is left behind."""
    bulk.contacts(RECORDS)
    dies(death["target"], after=death.get("after", False), times=death.get("times", 1))
    with pytest.raises(Died):
        bulk.run()
    lease_is_left_behind()
    backfill = open_backfill("contact")
    assert backfill is not None
    return backfill


def assert_all_are_there_once(bulk: Import) -> None:
    assert len(bulk.on_board()) == len(set(bulk.on_board())) == RECORDS
    assert Contact.objects.exclude(monday_id=None).count() == RECORDS
    assert Contact.objects.filter(sync_status="synced").count() == RECORDS
    assert not Intent.objects.filter(state="open").exists()


@pytest.mark.parametrize("death", DEATHS.values(), ids=DEATHS.keys())
def test_a_killed_backfill_is_taken_up_and_makes_nothing_twice(bulk: Import, dies: Dies, death: dict[str, Any]) -> None:
    backfill = killed(bulk, dies, death)
    settled = set(Contact.objects.exclude(monday_id=None).values_list("pk", "monday_last_synced"))
    bulk.world.pass_time(seconds=61)
    assert bulk.resume().state == "done"
    bulk.world.work()
    assert_all_are_there_once(bulk)
    # What was settled before the death was not looked at again.
    assert settled <= set(Contact.objects.values_list("pk", "monday_last_synced"))
    jobs = bulk.world.sandbox.control("ingest", "GET")
    assert sum(job["counts"]["created"] for job in jobs) == backfill.rows


@pytest.mark.parametrize("death", ["before the file is sent", "when the file is sent, before that is stored"])
def test_a_backfill_that_nobody_takes_up_is_settled_by_the_ordinary_worker(
    bulk: Import, dies: Dies, death: str
) -> None:
    killed(bulk, dies, DEATHS[death])
    bulk.world.pass_time(seconds=61)
    bulk.world.work()  # too early: its process may be alive
    assert open_backfill("contact") is not None
    for _ in range(8):
        bulk.world.work(minutes=4)
        if open_backfill("contact") is None:
            break
    assert open_backfill("contact") is None
    bulk.world.work()
    assert_all_are_there_once(bulk)


def test_while_a_file_may_have_arrived_no_second_job_is_started(bulk: Import, dies: Dies) -> None:
    bulk.world.sandbox.control("ingest", hold="upload")  # Monday has the file, and doesn't say so yet
    killed(bulk, dies, DEATHS["when the file is sent, before that is stored"])
    bulk.world.pass_time(seconds=61)
    released = []

    def wait(seconds: float, words: str) -> None:
        if len(bulk.waited) == 5:
            bulk.world.sandbox.control("ingest")
            released.append(words)
        Import.wait(bulk, seconds, words)

    bulk.wait = wait  # type: ignore[method-assign]
    assert bulk.resume().state == "done"
    assert "isn't known whether Monday has the file" in released[0]
    assert len(bulk.world.sandbox.control("ingest", "GET")) == 1
    assert_all_are_there_once(bulk)


def test_a_job_that_never_got_its_file_is_given_up_after_its_address_has_ended(bulk: Import, dies: Dies) -> None:
    backfill = killed(bulk, dies, DEATHS["before the file is sent"])
    row = str(Backfill.objects.filter(pk=backfill.pk).values().get())
    assert backfill.job_id in row
    assert not any(part in row for part in ("uploads", "Signature"))  # the file's address is stored nowhere
    bulk.world.pass_time(seconds=61)
    before = len(bulk.waited)
    assert bulk.resume().state == "done"
    assert sum(seconds for seconds, _ in bulk.waited[before:]) > 500
    states = [job["state"] for job in bulk.world.sandbox.control("ingest", "GET")]
    assert states == ["UPLOAD_PENDING", "COMPLETED"]


def test_a_start_whose_answer_was_lost_is_asked_again_under_the_same_key(bulk: Import, settings: Any) -> None:
    bulk.contacts(3)
    seen = bulk.preview()
    settings.MONDAY_TIMEOUT_SECONDS = 1
    bulk.world.sandbox.faults({"timeout": "after", "seconds": 5, "on": "ingest_items"})
    assert run_backfill(seen, by="tester", wait=bulk.wait)[0].state == "done"
    keys = {call["idempotency_key"] for call in bulk.world.sandbox.calls() if "ingest_items" in str(call["fields"])}
    assert len(keys) == 1
    assert len(bulk.world.sandbox.control("ingest", "GET")) == 1


def test_a_process_that_stood_still_before_the_file_sends_nothing(
    bulk: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk.contacts(3)
    monkeypatch.setattr("sync.operations.backfill.INTENT_SECONDS", -1)  # as if it had been frozen in between

    def wait(seconds: float, words: str) -> None:
        if not bulk.waited:
            assert "was suspended" in words
            assert [job["state"] for job in bulk.world.sandbox.control("ingest", "GET")] == ["UPLOAD_PENDING"]
            monkeypatch.undo()
        Import.wait(bulk, seconds, words)

    bulk.wait = wait  # type: ignore[method-assign]
    assert bulk.run()[0].state == "done"
    assert len(bulk.on_board()) == 3


def test_a_second_backfill_is_not_begun_while_one_is_open(bulk: Import, dies: Dies) -> None:
    killed(bulk, dies, DEATHS["while Monday works"])
    Contact.objects.create(name="Late")
    with pytest.raises(BackfillError, match="--resume"):
        run_backfill(bulk.preview(), by="tester", wait=bulk.wait)


def test_a_backfill_of_a_board_that_is_no_longer_synced_binds_nobody(bulk: Import, dies: Dies, settings: Any) -> None:
    killed(bulk, dies, DEATHS["while Monday works"])
    settings.MONDAY_CONTACTS_BOARD_ID = bulk.world.board_id("organization")
    with pytest.raises(BackfillError, match="no longer synced"):
        bulk.resume()
    bulk.world.work(minutes=5)
    assert open_backfill("contact") is None
    assert not Intent.objects.filter(state="open", item_id="").exists()
