"""manage.py erase_person WHO: one person taken out of every table."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from npd.management import only_person, user_named
from npd.personal_data.erasure import Erasure, ItemFate, erase_person, naming_text, preview_erasure
from npd.personal_data.persons import Person, records_naming
from sync.kernel.messages import Conflict

CONFIRMATION = "erase"


class Command(BaseCommand):
    help = (
        "Erases one person: the record, its activity and history, deliveries, API writes, conflicts, and every other "
        "text that names the person. Can't be undone. Asks first; exit code 1: nothing was erased."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("who", help="a contact's id, email address or whole name; deleted ones too")
        parser.add_argument("--items", choices=[*ItemFate], help="the items on Monday: delete them, or leave them")
        parser.add_argument("--dry-run", action="store_true", help="print what would be erased, and end")
        parser.add_argument("--confirm", default="", help=f"the word “{CONFIRMATION}”, not to be asked for it")
        parser.add_argument("--by", help="the user in whose name; needed where there are several administrators")

    def handle(self, *args: Any, **options: Any) -> None:
        person = only_person(options["who"])
        self._describe(person, preview_erasure(person))
        if options["dry_run"]:
            return
        if options["items"] is None and person.item_ids:
            raise CommandError("Say with --items what becomes of the items on Monday: delete, or leave.")
        if (options["confirm"] or input(f"This can't be undone. Type “{CONFIRMATION}”: ")) != CONFIRMATION:
            raise CommandError("Nothing was erased.")
        by = user_named(options["by"])
        try:
            done = erase_person(person, items=ItemFate(options["items"] or ItemFate.LEAVE), by=by)
        except Conflict as why:
            raise CommandError(str(why)) from why
        self.stdout.write(f"Erased: {done.total:,} rows in {len(done.rows)} tables.")

    def _describe(self, person: Person, planned: Erasure) -> None:
        self.stdout.write(f"{person.name} ({person.key or 'no record'})")
        for one in person.identifiers:
            self.stdout.write(f"  searched for in every table: {one.kind} {one.text}")
        for one in person.shared:
            self.stdout.write(f"  not searched for, because others share it: {one.kind} {one.text}")
        self.stdout.write(f"  items on Monday: {', '.join(person.item_ids) or 'none'}")
        for text in naming_text(records_naming(person)):
            self.stdout.write(f"  named by another record, where it must be taken out first: {text}")
        for table, removed, emptied, rewritten in planned.rows:
            self.stdout.write(f"  {table}: {removed} deleted, {emptied} emptied, {rewritten} rewritten")
