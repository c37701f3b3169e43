"""Every page of the site, found by its addresses: a page that is added is among them without being named here."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django_celery_beat.models import PeriodicTask
from knox.models import AuthToken

from conflicts.models import SyncConflict
from npd.imports.import_jobs import confirm_import, read_import_now, run_all, upload
from npd.imports.import_plan import ImportOptions
from npd.imports.models import ImportJob
from sync.clock import sync_now
from sync.kernel import periodic_jobs
from sync.models import (
    Decision,
    GuardedAct,
    Intent,
    MondayAccount,
    QueuePause,
    RefusedItem,
    SyncAudit,
    SyncQueue,
    Tombstone,
)
from tests.admin import states
from tests.admin.queue_pages import finished

CONFLICTS = "/admin/conflicts/syncconflict/"
QUEUE = "/admin/sync/syncqueue/"
FILE = "Name,Email,Phone,Hobby\nAnne,zoe@example.com,,Chess\nBob,no address,1,Go\nEve,eve@example.org,+46 1,Bridge\n"


def furnish(world: dict[str, Any], person: User) -> None:
    """Give every list something to show, beside the records in every state."""
    synced = world["synced"]
    for number, (kind, state) in enumerate((("clear_monday", "held"), ("items", "held"), ("records", "approved"))):
        GuardedAct.objects.create(
            entity_type="contact", entity_id=synced.pk, kind=kind, state=state, key=f"k{number}", label="Phone “1”"
        )  # fmt: skip
    SyncAudit.objects.create(entity_type="contact", sampled=3, drifted=1, calls=1)
    Tombstone.objects.create(
        entity_type="contact", entity_id=uuid.uuid4(), data={"name": "Gone Girl"}, monday_id="5099"
    )
    RefusedItem.objects.create(entity_type="contact", item_id="7002", reason="A person let it go.")
    Intent.objects.create(
        entity_type="contact",
        entity_id=synced.pk,
        board_id="9001",
        item_id="5001",
        lease_token=uuid.uuid4(),
        idempotency_key="k",
        deadline=sync_now(),
    )
    states.told_by_webhook("7001", "Somebody from the fair")
    periodic_jobs.ensure_periodic_jobs()
    AuthToken.objects.create(user=person, expiry=None)
    finished(sync_now() - timedelta(hours=3), rows=3)
    QueuePause.objects.create(entity_type="organization", direction="to_npd", paused_by="dora", why="Moving house")
    MondayAccount.objects.update(
        pause_reason="Monday refuses the token.", paused_until=sync_now() + timedelta(minutes=5)
    )


def imports(person: User) -> Iterator[str]:
    """The pages of an import that is read, that could not be, that is shown, and of one that is written."""
    letter = upload("contact", "letter.csv", io.BytesIO(b"Dear Ann,\nhello\n"), options=ImportOptions(), by=person)
    for attempts in (0, 2):
        ImportJob.objects.filter(pk=letter.pk).update(attempts=attempts, moved_at=sync_now() - timedelta(hours=1))
        yield reverse("admin:npd_contact_import_job", args=[letter.pk])
    run_all()
    yield reverse("admin:npd_contact_import_job", args=[letter.pk])
    shown = read_import_now("contact", "people.csv", io.BytesIO(FILE.encode()), options=ImportOptions(), by=person)
    yield reverse("admin:npd_contact_import_job", args=[shown.pk])
    other = io.BytesIO(FILE.replace("eve@", "eva@").encode())
    written = read_import_now("contact", "more.csv", other, options=ImportOptions(), by=person)
    confirm_import(written, by=person)
    yield reverse("admin:npd_contact_import_job", args=[written.pk])
    run_all()
    yield reverse("admin:npd_contact_import_job", args=[written.pk])
    yield reverse("admin:npd_contact_import_undo", args=[written.pk])


def of_models() -> Iterator[str]:
    """Of every model that the admin knows: its list, its form, and of one row its page, its delete and its history."""
    for model, model_admin in admin.site._registry.items():
        stem = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        for name in ("changelist", "add"):
            yield reverse(f"{stem}_{name}")
        yield f"{reverse(f'{stem}_changelist')}?q=Zo" if model_admin.search_fields else ""
        key = model._default_manager.order_by("pk").values_list("pk", flat=True).first()
        for name in ("change", "delete", "history"):
            yield reverse(f"{stem}_{name}", args=[key]) if key is not None else ""


def without_a_row() -> Iterator[str]:
    """Every other address that names no row: a page of its own, a step of the set-up."""
    for pattern in (found for part in admin.site.urls[0] for found in getattr(part, "url_patterns", [part])):
        try:
            yield reverse(f"admin:{pattern.name}") if pattern.name else ""
        except NoReverseMatch:
            continue


def by_name(world: dict[str, Any]) -> Iterator[str]:
    """Pages that need a row, a choice or a filter of their own."""
    for name in ("held", "conflicting", "waiting", "dead", "disabled", "synced"):
        yield reverse("admin:npd_contact_change", args=[world[name].pk])
    for conflict in SyncConflict.objects.all():
        yield f"{CONFLICTS}{conflict.pk}/screen/"
    yield f"{QUEUE}?what=items&status__exact=pending"
    yield f"{QUEUE}?q=zzzznothing"
    yield from (f"{QUEUE}?status__exact={status}" for status in ("pending", "failed", "completed"))
    yield from (f"{QUEUE}{way}/" for way in ("pause", "resume"))
    dead = SyncQueue.objects.filter(status="failed").latest("id")
    yield reverse("admin:sync_syncqueue_change", args=[dead.pk])
    yield reverse("admin:sync_decision_undo", args=[Decision.objects.latest("id").pk])
    act = GuardedAct.objects.filter(state="held").latest("id")
    yield (f"/admin/sync/guardedact/decide/?how=reject&entity_type=contact&kind={act.kind}&upto={act.pk}")
    timed = PeriodicTask.objects.filter(task__in=["sync.sweep", "sync.prune"])
    yield from (reverse("admin:django_celery_beat_periodictask_change", args=[entry.pk]) for entry in timed)
    yield from (reverse("admin:auth_group_change", args=[group.pk]) for group in Group.objects.all()[:1])
    yield "/admin/sync/nothing/of/the/kind/"


def refusals_and_answers(client: Client, person: User) -> dict[str, str]:
    """Pages that no address opens: of a new token, of what can't be read, and of who must wait before signing in."""
    token = {"user": person.pk, "expiry_0": "2999-01-31", "expiry_1": "12:00:00"}
    made = client.post("/admin/knox/authtoken/add/", token)
    odd = client.get("/admin/npd/contact/?q=%00")
    AccessAttempt.objects.create(username="eve", ip_address="127.0.0.1", failures_since_start=10)
    early = client.post("/admin/login/", {"username": "eve", "password": "x"})
    assert (made.status_code, odd.status_code, early.status_code) == (200, 400, 429)
    return {"a new token": made.content.decode(), "400": odd.content.decode(), "429": early.content.decode()}


def pages(client: Client, world: dict[str, Any], person: User) -> dict[str, str]:
    """Return the HTML of every page by its address: each opened as this person opens it."""
    furnish(world, person)
    addresses = [*by_name(world), *of_models(), *without_a_row(), *imports(person)]
    found: dict[str, str] = {}
    for number, address in enumerate(filter(None, addresses)):
        answer = client.get(address, follow=True)
        html = answer.headers.get("Content-Type", "").startswith("text/html")
        if html and answer.content:
            found.setdefault(address if address not in found else f"{address}#{number}", answer.content.decode())
    found |= refusals_and_answers(client, person)
    client.logout()
    found["/admin/login/"] = client.get("/admin/login/").content.decode()
    found["/admin/login/ refused"] = client.post(
        "/admin/login/", {"username": "dora", "password": "wrong"}
    ).content.decode()
    return found
