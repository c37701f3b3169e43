"""Every page of the site, found through its URLs, so a new page is included by itself."""

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import NoReverseMatch, get_resolver, reverse
from django_celery_beat.models import PeriodicTask

from config.urls import ACCOUNT_ADDRESSES
from conflicts.models import SyncConflict
from conflicts.pages.resolution import current_values, resolve
from conflicts.reports import FieldConflict
from npd.models import Contact, Organization
from sync import attention, models
from sync.clock import sync_now
from sync.outbox import pauses
from sync.records.authors import log_action
from sync.tasks import make_missing_periodic_tasks
from tests.admin import states
from tests.conflicts.conftest import PHONE, ROLE, conflict_of, finding, of_fields, record, rejected_too
from tests.conflicts.test_about_record import gone, identity_report
from tests.conflicts.test_refused import choose, page_of
from tests.support.words import said

CONFLICTS = "/admin/conflicts/syncconflict/"
QUEUE = "/admin/sync/syncqueue/"
LONG = "a-very-long-name-without-a-place-to-break-" * 4


def furnish(world: dict[str, Any], person: User) -> None:
    """Give every list something to show besides the records of `world`."""
    log_action(person, world["synced"], "Sync now: sent.")
    synced = world["synced"]
    now = sync_now()
    for n, (kind, state) in enumerate((("clear_monday", "pending"), ("items", "pending"), ("records", "approved"))):
        states.approval(synced, kind, state, key=f"k{n}", label="Phone “1”")
    models.BoardLink.objects.filter(entity_type="contact").update(
        verified_at=now, verified_records=3, differed_records=1
    )
    models.Tombstone.objects.create(
        entity_type="contact", entity_id=uuid.uuid4(), data={"name": "Gone"}, monday_id="5099"
    )
    models.IgnoredItem.objects.create(entity_type="contact", item_id="7002", reason=said("A person let it go."))
    states.unmatched("7003", name="Zoe’s item", values={"role_title": "CEO"})
    states.intent(synced, item_id="5001")
    states.told_by_webhook("7001", "Somebody from the fair")
    make_missing_periodic_tasks()
    models.ApiToken.objects.create(person)
    states.finished(sync_now() - timedelta(hours=3), rows=3)
    models.NotificationReceiver.objects.create(user=person, frequency="daily")
    models.NotificationReceiver.objects.create(
        name="Slack",
        address="sealed",
        frequency="daily",
        problem=said("error=500"),
        failed_since=sync_now(),
        failures=1,
    )
    pauses.pause("dora", entity_type="organization", why="Moving house")
    states.stop_account(now + timedelta(minutes=5), "Monday refuses the token.")


def crowd(world: dict[str, Any]) -> None:
    """Fill pages with many rows, and with names that are long, right-to-left or look like HTML."""
    synced = world["synced"]
    for hours in range(24):
        states.finished(sync_now() - timedelta(hours=hours), rows=1 + hours % 5)
    states.flying()
    pauses.pause("anna", entity_type="organization", why="Moving the board")
    link = models.BoardLink.objects.get(entity_type="contact")
    columns = {"phone": {"title": "הטלפון החדש", "type": "phone"}, "spare": {"title": LONG, "type": "text"}}
    link.shape = {"name": "Contacts", "columns": columns}
    link.npd_id_problem = said("The column “NPD ID” was deleted from the board.")
    link.save()
    gone = f"The column “{LONG}” was deleted from the board. Restore it."
    models.FieldMapping.objects.filter(link=link, key="role_title").update(problem=said(gone))
    models.FieldMapping.objects.filter(link=link, key="notes").update(direction="npd_to_monday")
    for key in ("phone", "notes"):
        models.WriteLoop.objects.create(
            entity_type="contact", entity_id=synced.pk, key=key, by="an automation",
            throttled_until=sync_now() + timedelta(hours=1), times=[{"at": sync_now().isoformat(), "write": "1"}] * 5,
        )  # fmt: skip
    states.approval(synced, "records", label=LONG)
    blocked_fields = {"email": {"reason": f"Monday rejected “{LONG}”: it is no address.", "code": "rejected"}}
    models.SyncMetadata.objects.filter(entity_id=str(synced.pk)).update(blocked_fields=blocked_fields)
    Organization.objects.update(name="Gesellschaft für allerlei Nützliches mbH & Co. KG")
    Contact.objects.filter(pk=synced.pk).update(role_title=LONG)
    models.UnmatchedItem.objects.filter(item_id="7003").update(name=LONG)
    states.dead("Bob", "Monday rejected the item. " * 20)
    states.conflicting(f"{LONG[:90]} and no end", "5066")


def conflict_pages(by: User) -> Iterator[str]:
    """Pages of conflicts of every kind and state, of batches and of rejected values."""
    long = "Ein sehr langer Wert " * 12 + "w" * 90
    notes = FieldConflict("notes", long, "Call", f"{long}\nمرحبا 👩‍👩‍👧")
    contacts = [
        of_fields("fields", PHONE, notes),
        of_fields("overwritten", ROLE, kind="overwritten"),
        Contact.objects.create(name="deleted", monday_id="71"),
        Contact.objects.create(name="identity", monday_id="72"),
    ]
    record(gone(contacts[2], ROLE), identity_report(contacts[3]))
    for contact in (contacts[0], of_fields("decided", PHONE)):
        conflict = conflict_of(contact)
        resolve(conflict.pk, by=by, resolution_type="keep_npd", seen=current_values(conflict))
    record(finding(contacts[0], applied={"phone": PHONE.npd, "notes": notes.npd}))
    open_one = of_fields("open", PHONE, replace(notes, npd="x"))
    yield f"{CONFLICTS}?state=settled"
    yield f"{CONFLICTS}{conflict_of(open_one).pk}/screen/?after=conflict:{conflict_of(contacts[0]).pk}"
    refused, answered = rejected_too("Ann", "73"), rejected_too("Bea", "74")
    answer = choose(answered, by, "npd")
    yield from (page_of(refused), page_of(answered), f"{page_of(refused)}?after=answer:{answer.pk}")
    yield from (f"{CONFLICTS}{conflict.pk}/screen/" for conflict in SyncConflict.objects.all())


def of_models() -> Iterator[str]:
    """For every model in the admin: its list and its form, and one row's page and delete page."""
    for model, model_admin in admin.site._registry.items():
        stem = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        for name in ("changelist", "add"):
            yield reverse(f"{stem}_{name}")
        yield f"{reverse(f'{stem}_changelist')}?q=Zo" if model_admin.search_fields else ""
        key = model._default_manager.order_by("pk").values_list("pk", flat=True).first()
        for name in ("change", "delete"):
            yield reverse(f"{stem}_{name}", args=[key]) if key is not None else ""


def all_of(patterns: Iterable[Any]) -> Iterator[Any]:
    for pattern in patterns:
        yield from all_of(pattern.url_patterns) if hasattr(pattern, "url_patterns") else [pattern]


def without_a_row() -> Iterator[str]:
    """Every other address without a row, such as a step of the set-up."""
    own = [(pattern, "") for pattern in get_resolver().url_patterns if str(pattern.pattern).startswith("admin/")]
    own += [(pattern, "") for pattern in all_of(ACCOUNT_ADDRESSES)]
    parts = [(pattern, "admin:") for part in admin.site.urls[0] for pattern in getattr(part, "url_patterns", [part])]
    for pattern, space in own + parts:
        try:
            yield reverse(f"{space}{pattern.name}") if getattr(pattern, "name", None) else ""
        except NoReverseMatch:
            continue


def by_name(world: dict[str, Any]) -> Iterator[str]:
    """Pages that need a row, a choice or a filter of their own."""
    for name in ("invalid", "conflicting", "waiting", "dead", "disabled", "synced"):
        yield reverse("admin:npd_contact_change", args=[world[name].pk])
    yield from ("/admin/help/howto/operate.md", "/admin/help/reference/tables.md")
    yield from (f"/admin/npd/contact/?q={text}" for text in ("e", "zzzznothing"))
    causes = [group.cause for group in attention.groups()]
    yield f"/admin/?{urlencode({'cause': causes}, doseq=True)}"
    item = reverse("admin:sync_unmatcheditem_link", args=[models.UnmatchedItem.objects.latest("id").pk])
    yield from (f"{item}?q={text}" for text in ("zo", "zzzznothing"))
    yield item
    yield f"{QUEUE}?q=zzzznothing"
    yield from (f"{QUEUE}?status__exact={status}" for status in ("pending", "failed", "completed"))
    yield "/admin/sync/syncqueue/resume/"
    dead = models.SyncQueue.objects.filter(status="failed").latest("id")
    yield reverse("admin:sync_syncqueue_change", args=[dead.pk])
    yield reverse("admin:sync_activityline_undo", args=[models.ActivityLine.objects.latest("id").pk])
    timed = PeriodicTask.objects.filter(task__in=["sync.sweep", "sync.prune"])
    yield from (reverse("admin:django_celery_beat_periodictask_change", args=[entry.pk]) for entry in timed)
    yield from (reverse("admin:auth_group_change", args=[group.pk]) for group in Group.objects.all()[:1])
    yield "/admin/sync/nothing/of/the/kind/"


def refusals_and_answers(client: Client, person: User) -> dict[str, str]:
    """Pages without an address of their own: a new token or account, unreadable input, an unfinished sign-in."""
    token_page = client.post("/admin/sync/apitoken/add/", {"user": person.pk, "days": "30"})
    rosa = User.objects.create_user("rosa", is_staff=True)
    link_page = client.post(f"/admin/auth/user/{rosa.pk}/send-link/")
    account = Client().get(urlsplit(link_page.context["text"]).path, follow=True)
    odd = client.get("/admin/npd/contact/?q=%00")
    for _ in range(31):
        early = Client().post("/accounts/login/", {"login": "eve", "password": "x"})
    assert [answer.status_code for answer in (token_page, account, odd, early)] == [200, 200, 400, 429]
    assert account.context["validlink"]
    named = {"a new token": token_page, "the page of a link": account, "400": odd, "429": early}
    return {name: answer.content.decode() for name, answer in named.items()}


# Fragments of pages; the browser tests of search and of Home check them.
PARTS_OF_PAGES = {"/admin/search/", "/admin/home/rows/"}


def pages(client: Client, world: dict[str, Any], person: User) -> dict[str, str]:
    furnish(world, person)
    crowd(world)
    # Opened one by one while they are made, so that pages are seen before and after each change.
    addresses = chain(by_name(world), of_models(), without_a_row(), conflict_pages(person))
    pages_by_address: dict[str, str] = {}
    for number, address in enumerate(address for address in addresses if address and address not in PARTS_OF_PAGES):
        answer = client.get(address, follow=True)
        html = answer.headers.get("Content-Type", "").startswith("text/html")
        if html and answer.content:
            pages_by_address.setdefault(
                address if address not in pages_by_address else f"{address}#{number}", answer.content.decode()
            )
    pages_by_address |= refusals_and_answers(client, person)
    client.logout()
    pages_by_address["/accounts/login/"] = client.get("/accounts/login/").content.decode()
    pages_by_address["/accounts/login/ refused"] = client.post(
        "/accounts/login/", {"login": "dora", "password": "wrong"}
    ).content.decode()
    return pages_by_address
