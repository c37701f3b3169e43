"""What people do with projects after following docs/howto/sync-another-model.md.

test_howto_model.py runs it in a process and on a database of its own, with the application `projects`.
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
Project: Any = apps.get_model("projects.Project")
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
    saved = ada.post("/admin/projects/project/add/", form)
    assert saved.status_code == 302, saved.content.decode()
    boats = Project.objects.get()
    assert item_of(boats)["name"] == "Boats"
    sandbox.act("edit", item_id=boats.monday_id, column_id="summary", value={"text": "Three of them"})
    call_command("sync_reconcile")
    boats.refresh_from_db()
    assert boats.summary == "Three of them"
    page = ada.get(f"/admin/projects/project/{boats.pk}/change/").content.decode()
    assert "Three of them" in page
    assert "/admin/projects/project/" in page.partition("nav-sidebar-apps")[2], "not in the sidebar"
    for address in ("", "?q=three", f"?q={boats.monday_id}"):
        assert "Boats" in ada.get(f"/admin/projects/project/{address}").content.decode(), address
    assert "Boats" not in ada.get("/admin/projects/project/?q=none-of-this").content.decode()
    results = ada.get("/admin/search/", {"s": "boat", "extended": "1"}).content.decode()
    assert f"/admin/projects/project/{boats.pk}/change/" in results
    call_command("sync_explain", "project", str(boats.pk))


def the_api(ada: Client) -> None:
    answer = ada.post("/api/v1/projects/", {"name": "Bridge", "summary": "Of stone"}, content_type=JSON)
    assert answer.status_code == 201, answer.content
    bridge = Project.objects.get(name="Bridge")
    assert item_of(bridge)["values"]["summary"] == "Of stone"
    page = f"/api/v1/projects/{bridge.pk}/"
    tag = {"HTTP_IF_MATCH": ada.get(page)["ETag"]}
    assert ada.patch(page, {"summary": "Of wood"}, content_type=JSON, **tag).status_code == 200
    assert ada.patch(page, {"summary": "Of glass"}, content_type=JSON, **tag).status_code == 412
    assert item_of(bridge)["values"]["summary"] == "Of wood"
    assert ada.get("/api/v1/projects/?search=wood&ordering=-name").json()["count"] == 1
    assert ada.post(f"{page}sync-to-monday").json()["project_id"] == str(bridge.pk)
    assert ada.delete(page).status_code == 204


def the_files(ada: Client) -> None:
    """An unchanged export changes nothing; a new row is a new project."""
    setup_test_environment()  # for the contexts of pages
    Project.objects.create(name="Dam", stage="running", budget="1.50", due="2026-12-24")
    for file_format in (0, 1):
        content = exported(ada, "project", file_format, app="projects")
        page = preview(ada, content, "project", app="projects")
        assert list(counts(page)) == ["skip"], changes(page)
    page = preview(ada, "Name,Stage,Due\nCanal,finished,2027-01-01\n", "project", app="projects")
    confirm(ada, page, "project", app="projects")
    canal = Project.objects.get(name="Canal")
    assert (canal.stage, str(canal.due)) == ("done", "2027-01-01")
    teardown_test_environment()


def the_kinds_of_fields(ada: Client) -> None:
    """Choices by label, a number and a date, each with its filter."""
    values = {"name": "Tunnel", "stage": "running", "budget": "1200.50", "due": "2026-12-24"}
    assert ada.post("/api/v1/projects/", values, content_type=JSON).status_code == 201
    tunnel = Project.objects.get(name="Tunnel")
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
    answer = ada.get("/api/v1/projects/?stage=running&budget=1200.5&due=2026-12-24").json()
    assert [record["name"] for record in answer["results"]] == ["Tunnel"], answer
    for filters in ("stage=Running", "budget=much", "due=soon"):
        assert ada.get(f"/api/v1/projects/?{filters}").status_code == 400, filters


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
    assert "Three of them" in ada.get("/admin/projects/project/").content.decode()
