"""manage.py demo: fills an empty NPD and the sandbox, with four examples and an unmatched item to try."""

import json
import os
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
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
from sync import addresses, choices, models
from sync.clock import SyncNow
from sync.fields import lookups
from sync.fields.field_values import local_values
from sync.kernel.acts import ActionError
from sync.kernel.schema import schema_problem
from sync.monday.columns import make_converter
from sync.monday.errors import MondayError
from sync.operations.setup.board_setup import set_up_all
from sync.operations.worker import drain
from sync.outbox import enqueue_unmatched
from sync.records.item_links import UnmatchedFinding, note_unmatched

SAMPLE_FOLDER = Path(settings.BASE_DIR) / "data"
UNMATCHED_NAME = "Somebody met at the fair"
PROGRESS_SECONDS = 1.0  # between two lines about the linking
Record = TypeVar("Record", bound=models.SyncedModel)


def create_admin() -> None:
    """Create the user `admin` with the password in ADMIN_PASSWORD, unless there is an administrator already."""
    users = get_user_model().objects
    password = os.environ.get("ADMIN_PASSWORD", "")
    if password and not users.filter(is_superuser=True).exists():
        users.create_superuser("admin", "admin@example.com", password)


def sample(model: type[Record]) -> list[Record]:
    """Return the records of this model's file in data/, unsaved."""
    lines = (SAMPLE_FOLDER / f"{model._meta.db_table}.jsonl").read_text(encoding="utf-8").strip().split("\n")
    rows = [json.loads(line) for line in lines]
    return [model(**row | {"id": UUID(row["id"])}) for row in rows]


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


def contact_columns() -> dict[str, str]:
    """Return the ids of the columns on the contacts' board, by the key of their mapping."""
    mappings = models.FieldMapping.objects.filter(link__entity_type="contact")
    return dict(mappings.values_list("key", "column_id"))


def seed() -> int:
    """Create the sample records in NPD and on the boards, not yet linked; return how many."""
    columns = contact_columns()
    unmatched_values = {
        columns["phone"]: {"phone": "+442079460999", "countryShortName": "GB"},
        columns["notes"]: {"text": "Wrote no email down."},
    }
    unmatched_item = {"name": UNMATCHED_NAME, "values": unmatched_values}
    with pghistory.context(cause="the demo"), transaction.atomic():
        # The two refer to each other; the constraints are checked at the commit.
        organizations = Organization.objects.bulk_create(sample(Organization))
        contacts = Contact.objects.bulk_create(sample(Contact))
        # Before the commit: if the sandbox fails, NPD stays empty and the next run starts again.
        add_to_board("organization", organizations)
        item_ids = add_to_board("contact", contacts, unmatched_item)
    link = lookups.link_of("contact")
    assert link is not None
    unmatched_ids = item_ids[len(contacts) :]
    # As a sweep does for an item without a record.
    note_unmatched(link, [UnmatchedFinding(item_id, UNMATCHED_NAME) for item_id in unmatched_ids])
    enqueue_unmatched("contact", unmatched_ids, cause=choices.Cause.SWEEP)
    return len(organizations) + len(contacts)


def add_to_board(entity_type: str, records: Sequence[models.SyncedModel], *others: dict[str, Any]) -> list[str]:
    """Add items of records, with their NPD IDs, and other items; return their ids. No webhook or log reports them.

    A relation's value would need the related record's item, which isn't there yet. But set-up makes no columns for
    relations (`MappingSpec.optional`), so they have no mapping here.
    """
    link = lookups.link_of(entity_type)
    assert link is not None
    # A board with items was filled by a run that ended before its commit.
    if any(board["items"] for board in ask_sandbox("boards") if board["id"] == link.board_id):
        return []
    mappings = list(link.mappings.all())
    items = []
    for record in records:
        values: dict[str, Any] = {link.npd_id_column: str(record.pk)}
        for mapping in mappings:
            value = make_converter(mapping.converter).to_remote(local_values(record, mapping), None)
            if value is not None:
                values[mapping.column_id] = value
        items.append({"name": values.pop("name"), "values": values})
    ids: list[str] = ask_sandbox("items", {"board_id": link.board_id, "items": [*items, *others]})
    return ids


# Things to try, each made of one sample contact: what the output calls it, and the values that a person enters in NPD.
EXAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "conflict": ("a conflict", {"role_title": "Director of Purchasing", "phone": "+1 202 555 0112"}),
    # The standards and Django allow this address, and Monday does not.
    "rejected": ("a rejected email", {"email": "front/office@mail.example.com"}),
    "disabled": ("a record without sync", {"sync_enabled": False}),
    "failed": ("a change that failed", {"role_title": "Buyer (on leave)"}),
}
# What somebody else has typed into the same cells of the conflict's item.
CONFLICTING = {"role_title": "Head of Procurement", "phone": "+12025550147 US"}
# Happens to every change of the item of "failed", until somebody clears the sandbox's faults.
FAULT = {
    "every": 1,
    "code": "RecordInvalidException",
    "message": "The item could not be saved: a fault that the demo planted",
}


@cache
def demo_people() -> dict[str, UUID]:
    """Return the ids of the contact "first", which stays as it is, and of each example's contact, by name.

    They are the first sample contacts without an empty field, so every demo has the same.
    """
    filled = (
        contact.pk
        for contact in sample(Contact)
        if contact.email and contact.phone and contact.role_title and contact.organization_id and contact.notes
    )
    return dict(zip(("first", *EXAMPLES), islice(filled, 1 + len(EXAMPLES)), strict=True))


def create_example(name: str) -> None:
    """Create an example as people would."""
    contact = Contact.objects.get(pk=demo_people()[name])
    if name == "conflict":
        columns = contact_columns()
        for key, text in CONFLICTING.items():
            edit = {"item_id": contact.monday_id, "column_id": columns[key], "text": text}
            ask_sandbox("actions", {"action": "edit"} | edit)
    if name == "failed":
        ask_sandbox("faults", {"partial": FAULT, "naming": contact.monday_id, "count": 1_000_000})
    for field, value in EXAMPLES[name][1].items():
        setattr(contact, field, value)
    admin = get_user_model().objects.filter(is_superuser=True).order_by("pk").first()
    with pghistory.context(user=admin.pk if admin else None):
        contact.save()
    drain("contact")
    # Each attempt of the change that fails is real; only the wait before it is skipped.
    retries = models.SyncQueue.objects.filter(entity_id=contact.pk, status=choices.QueueStatus.PENDING, attempts__gt=0)
    while retries.update(next_retry=SyncNow()):
        drain("contact")


def steps(link: models.BoardLink) -> Iterator[tuple[str, str]]:
    """Yield what to try, each with its address, without examples that have been deleted since."""
    by_id = Contact.objects.in_bulk(demo_people().values())
    contacts = {name: by_id.get(pk) for name, pk in demo_people().items()}
    first = contacts["first"]
    if first and first.monday_id:
        yield (
            f"Change {first.name} in NPD, press “Save and continue editing”, and watch the board follow:",
            _contact_address(first),
        )
        yield "Change the same person on the board, and watch NPD follow:", addresses.item_url(link, first.monday_id)
    if (contact := contacts["conflict"]) and (conflicts := open_conflicts("contact", [contact.pk]).get(contact.pk)):
        conflict_id = conflicts[0].conflict_id
        address = settings.SITE_URL + reverse("admin:conflicts_syncconflict_screen", args=[conflict_id])
        yield f"{contact.name} was changed differently on both sides; resolve it side by side:", address
    if contact := contacts["rejected"]:
        yield f"{contact.name} has an email that Monday rejects; only that field is blocked:", _contact_address(contact)
    failed_jobs = models.SyncQueue.objects.filter(entity_id=demo_people()["failed"], status=choices.QueueStatus.FAILED)
    if failed_jobs.exists() and (contact := contacts["failed"]):
        hint = "press “No more faults” under “Faults & tools” in the sandbox, then Retry here:"
        yield f"A change of {contact.name} failed five times; {hint}", _contact_address(contact)
    if contact := contacts["disabled"]:
        yield f"{contact.name} has its sync off; turn it on, or press “Sync now” once:", _contact_address(contact)
    if item := models.UnmatchedItem.objects.filter(entity_type="contact", name=UNMATCHED_NAME).first():
        address = addresses.item_url(link, item.item_id)
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
            link = lookups.link_of("contact")
            if link is None or not Contact.objects.exists():
                self._say("There is no sample data. Run `manage.py demo`.")
                return
            self._say("Try:")
            for number, (sentence, address) in enumerate(steps(link), start=1):
                self._say(f" {number}  {sentence}\n    {address}")
            return
        if problem := schema_problem():
            raise CommandError(problem)
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
        ask_sandbox("clock")  # fails if it isn't a sandbox, before set-up makes boards in a real account
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
