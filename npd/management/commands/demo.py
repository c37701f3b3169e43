"""manage.py demo: fills an empty NPD and the sandbox, with four examples and an unmatched item to try."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pghistory
import requests
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.urls import reverse

from conflicts.store import open_conflicts
from npd.models import Contact, Organization
from sync.choices import Cause, Priority, QueueStatus
from sync.clock import SyncNow
from sync.kernel.messages import ActionError
from sync.models import BoardLink, FieldMapping, SyncedModel, SyncQueue, UnmatchedItem
from sync.monday.columns import make_converter
from sync.monday.errors import MondayError
from sync.operations.setup.board_setup import set_up_all
from sync.operations.worker import drain
from sync.outbox import enqueue_unmatched
from sync.reconcile.field_values import stored_values
from sync.records.item_links import UnmatchedFinding, note_unmatched
from sync.registry import item_url, link_of

SAMPLE_FOLDER = Path(settings.BASE_DIR) / "data"
PROGRESS_SECONDS = 1.0  # between two lines about the linking


def create_admin() -> None:
    """Create the user `admin` with the password in ADMIN_PASSWORD, unless there is an administrator already."""
    users = get_user_model().objects
    password = os.environ.get("ADMIN_PASSWORD", "")
    if password and not users.filter(is_superuser=True).exists():
        users.create_superuser("admin", "admin@example.com", password)


def sample_organizations() -> list[Organization]:
    return [Organization(**row) for row in _rows("organizations.jsonl", "billing_contact")]


def sample_contacts() -> list[Contact]:
    return [Contact(**row) for row in _rows("contacts.jsonl", "organization")]


def _rows(name: str, reference: str) -> Iterator[dict[str, Any]]:
    """Yield the keyword arguments of each record in a file of data/, with ids as UUIDs."""
    for line in (SAMPLE_FOLDER / name).read_text(encoding="utf-8").strip().split("\n"):
        row = json.loads(line)
        row["id"] = UUID(row["id"])
        if reference in row:
            row[f"{reference}_id"] = UUID(row.pop(reference))
        yield row


def ask_sandbox(path: str, body: dict[str, Any] | None = None) -> Any:
    """Call a route that only the sandbox has, not Monday. Raises CommandError if there is no sandbox."""
    parts = urlsplit(settings.MONDAY_API_URL)
    if parts.hostname == "api.monday.com":
        raise CommandError(
            "The demo fills a sandbox with made-up people, never a real Monday account. "
            "Start `make run`, or `python -m sandbox`, and set MONDAY_API_URL to http://127.0.0.1:8001/v2."
        )
    address = f"{parts.scheme}://{parts.netloc}/_control/{path}"
    try:
        answer = requests.request("GET" if body is None else "POST", address, json=body, timeout=60.0)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise CommandError(
            f"The sandbox did not do {address}: {error}. Start it with `make run` or `python -m sandbox`, and check "
            "MONDAY_API_URL."
        ) from error
    return answer.json()


def edit_on_board(item_id: str, column_id: str, text: str) -> None:
    """Change a cell as a person does on the sandbox's page."""
    ask_sandbox("actions", {"action": "edit", "item_id": item_id, "column_id": column_id, "text": text})


def items_of(link: BoardLink, records: Iterable[SyncedModel]) -> list[dict[str, Any]]:
    """Return these records as items for the sandbox, with their NPD IDs.

    A relation's value would need the related record's item, which isn't there yet. But relations are optional, so they
    have no mapping until the board has their column.
    """
    mappings = list(link.mappings.all())
    items = []
    for record in records:
        values: dict[str, Any] = {link.npd_id_column: str(record.pk)}
        for mapping in mappings:
            value = make_converter(mapping.converter).to_remote(stored_values(record, mapping), None)
            if value is not None:
                values[mapping.column_id] = value
        items.append({"name": values.pop("name"), "values": values})
    return items


def contact_columns() -> dict[str, str]:
    """Return the ids of the columns on the contacts' board, by the key of their mapping."""
    mappings = FieldMapping.objects.filter(link__entity_type="contact")
    return dict(mappings.values_list("key", "column_id"))


UNMATCHED_NAME = "Somebody met at the fair"
UNMATCHED_VALUES: dict[str, object] = {  # by the key of their mapping
    "phone": {"phone": "+442079460999", "countryShortName": "GB"},
    "notes": {"text": "Wrote no email down."},
}


def seed() -> int:
    """Create the sample records in NPD and on the boards, not yet linked; return how many."""
    columns = contact_columns()
    unmatched_item: dict[str, object] = {
        "name": UNMATCHED_NAME,
        "values": {columns[key]: value for key, value in UNMATCHED_VALUES.items()},
    }
    with pghistory.context(cause="import"), transaction.atomic():
        # The two refer to each other; the constraints are checked at the commit.
        organizations = Organization.objects.bulk_create(sample_organizations())
        contacts = Contact.objects.bulk_create(sample_contacts())
        # Before the commit: if the sandbox fails, NPD stays empty and the next run starts again.
        _add_to_board("organization", organizations)
        item_ids = _add_to_board("contact", contacts, [unmatched_item])
    link = link_of("contact")
    assert link is not None
    unmatched_ids = item_ids[len(contacts) :]
    # As a sweep does for an item without a record.
    note_unmatched(link, [UnmatchedFinding(item_id, UNMATCHED_NAME) for item_id in unmatched_ids])
    enqueue_unmatched("contact", unmatched_ids, cause=Cause.SWEEP, priority=Priority.SWEEP)
    return len(organizations) + len(contacts)


def _add_to_board(
    entity_type: str, records: Sequence[SyncedModel], other_items: Sequence[dict[str, object]] = ()
) -> list[str]:
    """Add items without webhooks or log entries, as if they had always been there; return their ids."""
    link = link_of(entity_type)
    assert link is not None
    # A board with items was filled by a run that ended before its commit.
    if any(board["items"] for board in ask_sandbox("boards") if str(board["id"]) == link.board_id):
        return []
    items = [*items_of(link, records), *other_items]
    ids: list[str] = ask_sandbox("items", {"board_id": link.board_id, "items": items})
    return ids


def change_both_sides(contact: Contact, item_id: str) -> None:
    """Change the role and the phone number differently on both sides."""
    columns = contact_columns()
    edit_on_board(item_id, columns["role_title"], "Head of Procurement")
    edit_on_board(item_id, columns["phone"], "+12025550147 US")
    contact.role_title = "Director of Purchasing"
    contact.phone = "+1 202 555 0112"


def enter_rejected_email(contact: Contact, item_id: str) -> None:
    """Enter an address that the standards and Django allow, and Monday does not."""
    local, _, domain = contact.email.rpartition("@")
    contact.email = f"{local}/office@{domain}"


def turn_sync_off(contact: Contact, item_id: str) -> None:
    contact.sync_enabled = False


def change_rejected_item(contact: Contact, item_id: str) -> None:
    """Change the role while the sandbox rejects every change of the item, until its faults are cleared."""
    message = "The item could not be saved: a fault that the demo planted"
    partial = {"every": 1, "code": "RecordInvalidException", "message": message}
    ask_sandbox("faults", {"partial": partial, "naming": item_id, "count": 1_000_000})
    contact.role_title = f"{contact.role_title} (on leave)"


Change = Callable[[Contact, str], None]  # changes the unsaved contact, and perhaps its item

# Things to try, each with its name in the output and the change of a sample contact that makes it.
EXAMPLES: dict[str, tuple[str, Change]] = {
    "conflict": ("a conflict", change_both_sides),
    "rejected": ("a rejected email", enter_rejected_email),
    "disabled": ("a record without sync", turn_sync_off),
    "failed": ("a change that failed", change_rejected_item),
}


@cache
def demo_people() -> dict[str, UUID]:
    """Return the ids of the contact "first", which stays as it is, and of each example's contact, by name.

    They are the first sample contacts without an empty field, so every demo has the same.
    """
    filled = (
        contact.pk
        for contact in sample_contacts()
        if contact.email and contact.phone and contact.role_title and contact.organization_id and contact.notes
    )
    return dict(zip(("first", *EXAMPLES), islice(filled, 1 + len(EXAMPLES)), strict=True))


def create_example(name: str) -> None:
    """Create an example as people would."""
    contact = Contact.objects.get(pk=demo_people()[name])
    _, change = EXAMPLES[name]
    change(contact, str(contact.monday_id))
    admin = get_user_model().objects.filter(is_superuser=True).order_by("pk").first()
    with pghistory.context(user=admin.pk if admin else None):
        contact.save()
    drain("contact")
    # Each attempt of the change that fails is real; only the wait before it is skipped.
    retries = SyncQueue.objects.filter(entity_id=contact.pk, status=QueueStatus.PENDING, attempts__gt=0)
    while retries.update(next_retry=SyncNow()):
        drain("contact")


def tour() -> Iterator[str]:
    """Yield numbered lines of what to try with links, without examples that have been deleted since."""
    link = link_of("contact")
    if link is None or not Contact.objects.exists():
        yield "There is no sample data. Run `manage.py demo`."
        return
    yield "Try:"
    for number, (sentence, address) in enumerate(_steps(link), start=1):
        yield f" {number}  {sentence}"
        yield f"    {address}"


def _steps(link: BoardLink) -> Iterator[tuple[str, str]]:
    by_id = Contact.objects.in_bulk(demo_people().values())
    contacts = {name: by_id.get(pk) for name, pk in demo_people().items()}
    first = contacts["first"]
    if first and first.monday_id:
        yield (
            f"Change {first.name} in NPD, press “Save and continue editing”, and watch the board follow:",
            _contact_address(first),
        )
        yield "Change the same person on the board, and watch NPD follow:", item_url(link, first.monday_id)
    if (contact := contacts["conflict"]) and (conflicts := open_conflicts("contact", [contact.pk]).get(contact.pk)):
        conflict_id = conflicts[0].conflict_id
        address = settings.SITE_URL + reverse("admin:conflicts_syncconflict_screen", args=[conflict_id])
        yield f"{contact.name} was changed differently on both sides; resolve it side by side:", address
    if contact := contacts["rejected"]:
        yield f"{contact.name} has an email that Monday rejects; only that field is blocked:", _contact_address(contact)
    has_failed = SyncQueue.objects.filter(entity_id=demo_people()["failed"], status=QueueStatus.FAILED).exists()
    if has_failed and (contact := contacts["failed"]):
        hint = "press “No more faults” under “Faults & tools” in the sandbox, then Retry here:"
        yield f"A change of {contact.name} failed five times; {hint}", _contact_address(contact)
    if contact := contacts["disabled"]:
        yield f"{contact.name} has its sync off; turn it on, or press “Sync now” once:", _contact_address(contact)
    if item := UnmatchedItem.objects.filter(entity_type="contact", name=UNMATCHED_NAME).first():
        address = item_url(link, item.item_id)
        yield f"“{item.name}” is on the board only; give it an email and see a contact appear:", address


def _contact_address(contact: Contact) -> str:
    return settings.SITE_URL + reverse("admin:npd_contact_change", args=[contact.pk])


SAMPLE_EMAIL_DOMAIN = "@mail.example.com"  # of contacts in data/
SAMPLE_DATA_WARNING = (
    "This database holds the sample data of an earlier run with the sandbox, and `monday_setup` would send it "
    "to your account.\nFor a database of its own: Ctrl-C, then `make reset` (deletes the sample data) and "
    "`make run` again; or set DATABASE_URL to another PostgreSQL."
)


class Command(BaseCommand):
    help = (
        "Fills an empty NPD and the sandbox's boards with sample data and links them. The web process must be running, "
        "because set-up registers webhooks."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--try", action="store_true", dest="tour", help="change nothing, print what to try with links"
        )
        # `make run` passes it with a real Monday account.
        parser.add_argument(
            "--admin",
            action="store_true",
            help="only create the user admin, with ADMIN_PASSWORD, and warn about sample data of an earlier run",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["tour"]:
            self._say("\n".join(tour()))
            return
        create_admin()
        if options["admin"]:
            if Contact.objects.filter(email__endswith=SAMPLE_EMAIL_DOMAIN).exists():
                self._say(SAMPLE_DATA_WARNING)
            return
        try:
            self._fill()
        except MondayError as error:
            raise CommandError(error.full_sentence) from error
        except ActionError as error:
            raise CommandError(str(error)) from error

    def _fill(self) -> None:
        if not SAMPLE_FOLDER.is_dir():
            raise CommandError(
                f"There is no sample data in {SAMPLE_FOLDER}: the Docker image leaves it out. "
                "Run the demo from a checkout of the repository, with `make run`."
            )
        ask_sandbox("clock")  # fails if it is no sandbox, before set-up makes boards in a real account
        for outcome in set_up_all():
            if outcome.problems:
                raise CommandError("\n".join(outcome.problems))
            if outcome.steps:
                self._say(f"{outcome.link}: {len(outcome.steps)} things set up.")
        if Contact.objects.exists() or Organization.objects.exists():
            return
        self._say("Sample data for NPD and the boards …")
        self._say(f"  {seed():,} records on both sides. Linking them:")
        # Each record's item is found by its NPD ID, in reads of 100 and without writes.
        drain(say=lambda line: self._say(f"  {line}"), progress_seconds=PROGRESS_SECONDS)
        for name in EXAMPLES:
            create_example(name)
        labels = ["an unmatched item on the board", *(label for label, _ in EXAMPLES.values())]
        self._say(f"  Waiting to be tried: {', '.join(labels)}.")

    def _say(self, line: str) -> None:
        """Print a line at once; `make run` shows it while the command goes on."""
        self.stdout.write(line)
        self.stdout.flush()
