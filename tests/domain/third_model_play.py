"""What people do with deals after following docs/howto/sync-another-model.md.

test_howto_model.py runs it in a process and on a database of its own, with the application `deals`.
"""

from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.test.utils import setup_test_environment, teardown_test_environment

from sync.choices import BlockedCode
from sync.models import SyncMetadata
from sync.queue import SyncQueueService
from tests.files.conftest import changes, confirm, counts, exported, preview
from tests.support.people import signed_in
from tests.support.sandbox import Sandbox

JSON = "application/json"
Deal: Any = apps.get_model("deals.Deal")
sandbox = Sandbox(settings.MONDAY_API_URL.removesuffix("/v2"), settings.MONDAY_API_KEY, settings.MONDAY_SIGNING_SECRET)
settings.ALLOWED_HOSTS = ["*"]


def item_of(record: Any) -> dict[str, Any]:
    SyncQueueService().process(seconds=60)
    record.refresh_from_db()
    assert record.sync_status == "synced", record.sync_status
    return sandbox.item(record.monday_id)


def the_admin(ada: Client) -> None:
    form = {"name": "Boats", "summary": "Two of them", "stage": "planned"}
    form |= {"sync_enabled": "on", "sync_direction": "bidirectional"}
    saved = ada.post("/admin/deals/deal/add/", form)
    assert saved.status_code == 302, saved.content.decode()
    boats = Deal.objects.get()
    assert item_of(boats)["name"] == "Boats"
    sandbox.act("edit", item_id=boats.monday_id, column_id="summary", value={"text": "Three of them"})
    call_command("sync_reconcile")
    boats.refresh_from_db()
    assert boats.summary == "Three of them"
    page = ada.get(f"/admin/deals/deal/{boats.pk}/change/").content.decode()
    assert "Three of them" in page
    assert "/admin/deals/deal/" in page.partition("nav-sidebar-apps")[2], "not in the sidebar"
    for address in ("", "?q=three", f"?q={boats.monday_id}"):
        assert "Boats" in ada.get(f"/admin/deals/deal/{address}").content.decode(), address
    assert "Boats" not in ada.get("/admin/deals/deal/?q=none-of-this").content.decode()
    results = ada.get("/admin/search/", {"s": "boat", "extended": "1"}).content.decode()
    assert f"/admin/deals/deal/{boats.pk}/change/" in results
    call_command("sync_explain", "deal", str(boats.pk))


def the_api(ada: Client) -> None:
    answer = ada.post("/api/v1/deals/", {"name": "Bridge", "summary": "Of stone"}, content_type=JSON)
    assert answer.status_code == 201, answer.content
    bridge = Deal.objects.get(name="Bridge")
    assert item_of(bridge)["values"]["summary"] == "Of stone"
    page = f"/api/v1/deals/{bridge.pk}/"
    tag = {"HTTP_IF_MATCH": ada.get(page)["ETag"]}
    assert ada.patch(page, {"summary": "Of wood"}, content_type=JSON, **tag).status_code == 200
    assert ada.patch(page, {"summary": "Of glass"}, content_type=JSON, **tag).status_code == 412
    assert item_of(bridge)["values"]["summary"] == "Of wood"
    assert ada.get("/api/v1/deals/?search=wood&ordering=-name").json()["count"] == 1
    assert ada.post(f"{page}sync-to-monday").json()["deal_id"] == str(bridge.pk)
    assert ada.delete(page).status_code == 204


def the_files(ada: Client) -> None:
    """An unchanged export changes nothing; a new row is a new deal."""
    setup_test_environment()  # for the contexts of pages
    Deal.objects.create(name="Dam", stage="running", budget="1.50", due="2026-12-24")
    for file_format in (0, 1):
        content = exported(ada, "deal", file_format, app="deals")
        page = preview(ada, content, "deal", app="deals")
        assert list(counts(page)) == ["skip"], changes(page)
    page = preview(ada, "Name,Stage,Due\nCanal,finished,2027-01-01\n", "deal", app="deals")
    confirm(ada, page, "deal", app="deals")
    canal = Deal.objects.get(name="Canal")
    assert (canal.stage, str(canal.due)) == ("done", "2027-01-01")
    teardown_test_environment()


def the_kinds_of_fields(ada: Client) -> None:
    """Choices by label, a number and a date, each with its filter."""
    values = {"name": "Tunnel", "stage": "running", "budget": "1200.50", "due": "2026-12-24"}
    assert ada.post("/api/v1/deals/", values, content_type=JSON).status_code == 201
    tunnel = Deal.objects.get(name="Tunnel")
    shown = item_of(tunnel)["values"]
    assert {key: shown[key] for key in ("stage", "budget", "due")} == {
        "stage": "Running", "budget": "1200.5", "due": "2026-12-24"
    }  # fmt: skip
    choose_stage(tunnel, "Finished")
    assert (tunnel.stage, tunnel.sync_status) == ("done", "synced")
    choose_stage(tunnel, "Someday")
    blocked = SyncMetadata.objects.get(entity_id=tunnel.pk).blocked_fields["stage"]
    assert (tunnel.stage, blocked["code"]) == ("done", BlockedCode.INVALID)
    choose_stage(tunnel, "Running")
    assert (tunnel.stage, tunnel.sync_status) == ("running", "synced")
    answer = ada.get("/api/v1/deals/?stage=running&budget=1200.5&due=2026-12-24").json()
    assert [record["name"] for record in answer["results"]] == ["Tunnel"], answer
    for filters in ("stage=Running", "budget=much", "due=soon"):
        assert ada.get(f"/api/v1/deals/?{filters}").status_code == 400, filters


def choose_stage(record: Any, label: str) -> None:
    sandbox.act("edit", item_id=record.monday_id, column_id="stage", value={"label": label})
    call_command("sync_reconcile")
    record.refresh_from_db()


def play() -> None:
    """With only the model and its registration."""
    ada = signed_in(User.objects.create_superuser("ada"))
    the_admin(ada)
    the_api(ada)
    the_kinds_of_fields(ada)
    the_files(ada)


def play_with_own_classes() -> None:
    """The application has its own admin, which declares only what differs."""
    ada = signed_in(User.objects.get(username="ada"))
    assert "Three of them" in ada.get("/admin/deals/deal/").content.decode()
