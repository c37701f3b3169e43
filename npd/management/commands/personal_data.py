"""manage.py personal_data: export one person's data, or erase the person."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from npd import personal_data
from sync import registry
from sync.kernel.acts import ActionError, NotPossible
from sync.kernel.humanize import terminal_line
from sync.operations import record_lookup


class Command(BaseCommand):
    help = (
        "Prints what NPD holds of one record as JSON, or erases it: the record, its item on Monday, and every row that "
        "bears one of their ids. An erasure can't be undone and asks first; exit code 1: nothing was erased."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        types = ", ".join(spec.entity_type for spec in registry.entities())
        parser.add_argument("act", choices=["export", "erase"])
        parser.add_argument("entity_type", help=f"one of: {types}")
        parser.add_argument("record", help="its id, its item's id, its name or its email address; deleted ones too")
        parser.add_argument("--keep-item", action="store_true", help="leave the item on Monday")
        parser.add_argument("--no-input", action="store_true", help="erase without asking")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            record = record_lookup.find_record(options["entity_type"], options["record"])
            person = personal_data.Person(*record_lookup.ids_of(record))
        except (ActionError, registry.UnknownEntity) as why:
            raise CommandError(str(why)) from why
        if options["act"] == "export":
            self.stdout.write(json.dumps(personal_data.export(person), indent=2, ensure_ascii=False))
            return
        self.stdout.write(terminal_line(f"{person.name} ({person.id})"))
        if person.items:
            fate = "stay" if options["keep_item"] else "are deleted"
            self.stdout.write(f"Items that {fate} on Monday: {', '.join(person.items)}")
        if not options["no_input"] and input("This can't be undone. Type “erase”: ") != "erase":
            raise CommandError("Nothing was erased.")
        try:
            number = personal_data.erase(person, delete_items=not options["keep_item"])
        except NotPossible as why:
            raise CommandError(str(why)) from why
        self.stdout.write(f"Erased: {number:,} rows.")
