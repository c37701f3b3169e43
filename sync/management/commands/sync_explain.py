"""manage.py sync_explain: why a record is as it is."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync.explain.facts import explain
from sync.explain.finding import NotOne, find
from sync.explain.telling import as_json, lines
from sync.registry import UnknownEntity


class Command(BaseCommand):
    """Tell one record's story."""

    help = (
        "Tells of one record: its state, both sides and what was last agreed, what the next look would do, what is "
        "open, and every decision with its cause. Reads its item by one call; writes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Which record, and how."""
        parser.add_argument("entity_type", help="contact or organization")
        parser.add_argument(
            "record", help="its id, its item's id, its name or its e-mail address; deleted ones too"
        )
        parser.add_argument("--offline", action="store_true", help="don't ask Monday")
        parser.add_argument("--json", action="store_true", help="print one JSON object, for machines")

    def handle(self, *args: Any, **options: Any) -> None:
        """Explain; exit 1 where no record, or more than one, is meant."""
        try:
            found = find(options["entity_type"], options["record"])
        except (NotOne, UnknownEntity) as unknown:
            raise CommandError(str(unknown)) from unknown
        told = explain(found, offline=options["offline"])
        if options["json"]:
            self.stdout.write(json.dumps(as_json(told), indent=2, ensure_ascii=False))
            return
        for line in lines(told):
            self.stdout.write(line)
