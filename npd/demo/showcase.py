"""Five examples to try, each created once by the same actions that people use, and the links to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from uuid import UUID

import pghistory
from django.conf import settings
from django.contrib.auth import get_user_model
from django.urls import reverse
from pghistory.core import event_models
from pghistory.models import Context

from npd.demo import sample_data
from npd.demo.sample_data import SEED, STRANGER, Sandbox
from npd.models import Contact
from sync.choices import QueueStatus
from sync.clock import SyncNow
from sync.kernel.conflict_store import current_store
from sync.models import BoardLink, FieldMapping, SyncQueue, UnmatchedItem
from sync.operations.worker import drain
from sync.registry import item_url, link_of

ATTEMPTS = 5  # as many as a job has

REJECTION_MESSAGE = (
    "The item could not be saved. (The demo's sandbox rejects it until you press “No more faults” under “Faults & "
    "tools” on the board's page; then press Retry here)"
)


@dataclass(frozen=True)
class DemoPeople:
    """Who has which part; the same people in every demo."""

    first: UUID
    conflict: UUID
    held: UUID
    disabled: UUID
    failed: UUID


@cache
def demo_people() -> DemoPeople:
    """Choose people whose every field is filled."""
    filled = (
        contact.pk
        for contact in sample_data.contacts()
        if contact.email and contact.phone and contact.role_title and contact.organization_id and contact.notes
    )
    return DemoPeople(*(next(filled) for _ in range(5)))


def missing_scenes() -> list[str]:
    """Return the examples that no run has created yet; none where NPD was not filled by the demo."""
    created = set(Context.objects.filter(metadata__has_key="demo").values_list("metadata__demo", flat=True))
    return [name for name in SCENES if name not in created] if SEED in created else []


def create_scene(name: str, sandbox: Sandbox) -> None:
    """Create one example; nothing happens where somebody has deleted its person since."""
    contact = Contact.objects.filter(pk=getattr(demo_people(), name), monday_id__isnull=False).first()
    if contact is None:
        return
    item_id = str(contact.monday_id)
    if name == "conflict":  # the role and the phone number, changed differently on both sides
        mappings = FieldMapping.objects.filter(link__entity_type="contact")
        columns = dict(mappings.values_list("key", "column_id"))
        sandbox.edit(item_id, columns["role_title"], "Head of Procurement")
        sandbox.edit(item_id, columns["phone"], "+12025550147 US")
        contact.role_title, contact.phone = "Director of Purchasing", "+1 202 555 0112"
    elif name == "held":  # an address that the standards and Django allow, and Monday does not
        local, _, domain = contact.email.rpartition("@")
        contact.email = f"{local}/office@{domain}"
    elif name == "disabled":
        contact.sync_enabled = False
    else:
        sandbox.reject_changes(item_id, REJECTION_MESSAGE)
        contact.role_title = f"{contact.role_title} (on leave)"
    # Saved as the administrator. The context marks the example as created, in the history that stays.
    admin = get_user_model().objects.filter(is_superuser=True).order_by("pk").first()
    with pghistory.context(demo=name, user=admin.pk if admin else None):
        contact.save()
    # What fails does so in five real attempts, each rejected by the sandbox; only the waits between are left out.
    for _ in range(ATTEMPTS if name == "failed" else 1):
        drain(entity_type="contact")
        if name == "failed":
            rows = SyncQueue.objects.filter(entity_id=contact.pk, status=QueueStatus.PENDING)
            rows.update(next_retry=SyncNow())


def keep_failing(sandbox: Sandbox) -> None:
    """Have the sandbox go on rejecting what has failed until it was retried: a restart ends its faults."""
    failed = SyncQueue.objects.filter(entity_id=demo_people().failed, status=QueueStatus.FAILED)
    contact = Contact.objects.filter(pk=demo_people().failed, monday_id__isnull=False).first()
    if contact is not None and failed.exists() and not sandbox.rejects(str(contact.monday_id)):
        sandbox.reject_changes(str(contact.monday_id), REJECTION_MESSAGE)


SCENES = ("conflict", "held", "disabled", "failed")

SCENE_LABELS = (
    "a conflict",
    "a rejected email",
    "a record without sync",
    "a change that failed",
    "an unmatched item on the board",
)
"""The examples to try, the unmatched item of the sample data included."""


# What to try, with links.


def tour() -> list[str]:
    """Return the lines of “Try: 1 … 2 … 3 …”, without what somebody has deleted since."""
    link = link_of("contact")
    if link is None or not Contact.objects.exists():
        return ["There is no sample data. Run `manage.py demo`."]
    lines = ["Try:"]
    for number, (words, address) in enumerate(_steps(link), start=1):
        lines.append(f" {number}  {words}")
        lines.append(f"    {address}")
    return lines


def _steps(link: BoardLink) -> Iterator[tuple[str, str]]:
    first = _contact(demo_people().first)
    if first is not None and first.monday_id:
        yield (
            f"Change {first.name} in NPD, press “Save and continue editing”, and watch the board follow:",
            _record(first),
        )
        yield "Change the same person on the board, and watch NPD follow:", item_url(link, first.monday_id)
    if (in_conflict := _contact(demo_people().conflict)) is not None:
        for conflict in current_store().open_conflicts("contact", [in_conflict.pk]).get(in_conflict.pk, [])[:1]:
            screen = settings.SITE_URL + reverse("admin:conflicts_syncconflict_screen", args=[conflict.conflict_id])
            yield f"{in_conflict.name} was changed differently on both sides; resolve it side by side:", screen
    if (blocked := _contact(demo_people().held)) is not None:
        yield f"{blocked.name} has an email that Monday rejects; only that field is blocked:", _record(blocked)
    row = SyncQueue.objects.filter(entity_id=demo_people().failed, status=QueueStatus.FAILED).first()
    if row is not None and (failed := _contact(demo_people().failed)) is not None:
        hint = "press “No more faults” under “Faults & tools” on the board, then Retry here:"
        address = settings.SITE_URL + reverse("admin:sync_syncqueue_change", args=[row.pk])
        yield f"A change of {failed.name} failed five times; {hint}", address
    if (disabled := _contact(demo_people().disabled)) is not None:
        yield f"{disabled.name} has its sync off; turn it on, or press “Sync now” once:", _record(disabled)
    # Whether the unmatched item became a record, even if that was deleted since.
    histories = [events._default_manager for events in event_models(tracks_model=Contact)]
    if not any(history.filter(name=STRANGER["name"]).exists() for history in histories):
        item = UnmatchedItem.objects.filter(entity_type="contact", name=STRANGER["name"]).first()
        address = item_url(link, item.item_id if item else "").removesuffix("/pulses/")
        yield f"“{STRANGER['name']}” is on the board only; give it an email and see a contact appear:", address


def _contact(pk: UUID) -> Contact | None:
    return Contact.objects.filter(pk=pk).first()


def _record(contact: Contact) -> str:
    return settings.SITE_URL + reverse("admin:npd_contact_change", args=[contact.pk])
