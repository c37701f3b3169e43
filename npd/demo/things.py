"""Five things that wait to be tried, each made through the doors that people use, and each made once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from uuid import UUID

import pghistory
from django.contrib.auth import get_user_model
from pghistory.models import Context

from npd.demo import records
from npd.demo.board import Sandbox
from npd.demo.seeding import SEED
from npd.models import Contact
from sync.choices import QueueStatus
from sync.clock import SyncNow
from sync.draining import drain
from sync.models import FieldMapping, SyncQueue

ATTEMPTS = 5  # as many as a queue row has
REFUSAL = "The item could not be saved (the demo has the sandbox refuse it five times, then take it)"


@dataclass(frozen=True)
class Cast:
    """Who plays which part; the same people in every demo."""

    first: UUID
    conflict: UUID
    held: UUID
    disabled: UUID
    failed: UUID


@cache
def cast() -> Cast:
    """Choose people whose every field is filled."""
    filled = (
        contact.pk
        for contact in records.contacts()
        if contact.email
        and contact.phone
        and contact.role_title
        and contact.organization_id
        and contact.notes
    )
    return Cast(*(next(filled) for _ in range(5)))


def missing() -> list[str]:
    """The names of what no run has made yet; nothing where NPD was not filled by the demo."""
    made = set(Context.objects.filter(metadata__has_key="demo").values_list("metadata__demo", flat=True))
    return [name for name in THINGS if name not in made] if SEED in made else []


def make(name: str, sandbox: Sandbox) -> None:
    """Make one of them; nothing happens where somebody has deleted its person since."""
    contact = Contact.objects.filter(pk=getattr(cast(), name), monday_id__isnull=False).first()
    if contact is not None:
        THINGS[name](sandbox, contact)


def _save(name: str, contact: Contact) -> None:
    """Save as the administrator. The context marks the thing as made, in the history that stays."""
    admin = get_user_model().objects.filter(is_superuser=True).order_by("pk").first()
    with pghistory.context(demo=name, user=admin.pk if admin else None):
        contact.save()


def _conflict(sandbox: Sandbox, contact: Contact) -> None:
    """The role and the phone number, changed differently on both sides."""
    mappings = FieldMapping.objects.filter(link__entity_type="contact")
    columns = dict(mappings.values_list("key", "column_id"))
    sandbox.edit(str(contact.monday_id), columns["role_title"], "Head of Procurement")
    sandbox.edit(str(contact.monday_id), columns["phone"], "+12025550147 US")
    contact.role_title, contact.phone = "Director of Purchasing", "+1 202 555 0112"
    _save("conflict", contact)
    drain(entity_type="contact")


def _held(sandbox: Sandbox, contact: Contact) -> None:
    """An address that the standards and Django allow, and Monday does not."""
    local, _, domain = contact.email.rpartition("@")
    contact.email = f'"{local}"@{domain}'
    _save("held", contact)
    drain(entity_type="contact")


def _disabled(sandbox: Sandbox, contact: Contact) -> None:
    contact.sync_enabled = False
    _save("disabled", contact)
    drain(entity_type="contact")


def _failed(sandbox: Sandbox, contact: Contact) -> None:
    """Five real attempts, each refused; only the waits between them are left out."""
    sandbox.refuse_changes(ATTEMPTS, REFUSAL)
    contact.role_title = f"{contact.role_title} (on leave)"
    _save("failed", contact)
    for _ in range(ATTEMPTS):
        drain(entity_type="contact")
        rows = SyncQueue.objects.filter(entity_id=contact.pk, status=QueueStatus.PENDING)
        rows.update(next_retry=SyncNow())


THINGS: dict[str, Callable[[Sandbox, Contact], None]] = {
    "conflict": _conflict,
    "held": _held,
    "disabled": _disabled,
    "failed": _failed,
}

WORDS = (
    "a conflict",
    "a held e-mail",
    "a record without sync",
    "a change that failed",
    "a stranger on the board",
)
"""What waits to be tried, the stranger of the seeding included."""
