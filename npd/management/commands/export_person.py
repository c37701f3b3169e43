"""manage.py export_person WHO: everything that NPD holds of one person, as JSON."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from npd.management import only_person
from npd.personal_data.erasure import export_person


class Command(BaseCommand):
    help = (
        "Prints everything that NPD holds of one person as JSON: the record, every row about it, and where else the "
        "person is named. Writes nothing. Read it before you hand it out: a row may name others."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("who", help="a contact's id, email address or whole name; deleted ones too")

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(json.dumps(export_person(only_person(options["who"])), indent=2, ensure_ascii=False))
