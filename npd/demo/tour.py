"""What to try, with links."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from django.conf import settings
from django.urls import reverse
from pghistory.core import event_models

from npd.demo.seeding import STRANGER
from npd.demo.things import cast
from npd.models import Contact
from sync.boards import item_url, link_of
from sync.choices import QueueStatus
from sync.hooks import desk
from sync.models import BoardLink, SyncQueue


def tour() -> list[str]:
    """The lines of “Try: 1 … 2 … 3 …”; what somebody has deleted since is left out."""
    link = link_of("contact")
    if link is None or not Contact.objects.exists():
        return ["There is no sample data. Run `manage.py demo`."]
    lines = ["Try:"]
    for number, (words, address) in enumerate(_steps(link), start=1):
        lines.append(f" {number}  {words}")
        lines.append(f"    {address}")
    return lines


def _steps(link: BoardLink) -> Iterator[tuple[str, str]]:
    first = _contact(cast().first)
    if first is not None and first.monday_id:
        yield f"Change {first.name} in NPD, and watch the board follow:", _record(first)
        yield "Change the same person on the board, and reload NPD:", item_url(link, first.monday_id)
    if (clash := _contact(cast().conflict)) is not None and (screen := _conflict(clash)) is not None:
        yield f"{clash.name} was changed differently on both sides; settle it side by side:", screen
    if (held := _contact(cast().held)) is not None:
        yield f"{held.name} has an e-mail that Monday refuses; only that field waits:", _record(held)
    if (failed := _contact(cast().failed)) is not None and (row := _dead_row(failed)) is not None:
        yield f"A change of {failed.name} failed five times; press Retry:", row
    if (off := _contact(cast().disabled)) is not None:
        yield f"{off.name} is not synced; switch it on, or press “Sync now” once:", _record(off)
    if not _stranger_came():
        board = item_url(link, "").removesuffix("/pulses/")
        yield f"“{STRANGER['name']}” is on the board only; give it an e-mail and see a contact appear:", board


def _stranger_came() -> bool:
    """Whether the item without a record became one, whatever has become of that since."""
    return any(
        events._default_manager.filter(name=STRANGER["name"]).exists()
        for events in event_models(tracks_model=Contact)
    )


def _contact(pk: UUID) -> Contact | None:
    return Contact.objects.filter(pk=pk).first()


def _record(contact: Contact) -> str:
    return settings.SITE_URL + reverse("admin:npd_contact_change", args=[contact.pk])


def _conflict(contact: Contact) -> str | None:
    for conflict in desk().open_of("contact", [contact.pk]).get(contact.pk, []):
        return settings.SITE_URL + reverse("admin:conflicts_syncconflict_screen", args=[conflict.conflict_id])
    return None


def _dead_row(contact: Contact) -> str | None:
    row = SyncQueue.objects.filter(entity_id=contact.pk, status=QueueStatus.FAILED).first()
    return None if row is None else settings.SITE_URL + reverse("admin:sync_syncqueue_change", args=[row.pk])
