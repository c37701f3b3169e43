"""manage.py sync_explain: why a record is as it is."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync import registry
from sync.operations.preview import explanation
from sync.registry import UnknownEntity


class Command(BaseCommand):
    help = (
        "Explains one record: its state, both sides and the last synced values, what the next sync would do, what "
        "is open, and its activity with every trigger. Reads its item by one call; writes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        types = ", ".join(spec.entity_type for spec in registry.entities())
        parser.add_argument("entity_type", help=f"one of: {types}")
        parser.add_argument("record", help="its id, its item's id, its name or its email address; deleted ones too")
        parser.add_argument("--offline", action="store_true", help="don't ask Monday")
        parser.add_argument("--json", action="store_true", help="print one JSON object, for machines")

    def handle(self, *args: Any, **options: Any) -> None:
        """Explain; exit 1 where no record, or more than one, is meant."""
        try:
            found = explanation.find_record(options["entity_type"], options["record"])
        except (explanation.NoSingleRecord, UnknownEntity) as unknown:
            raise CommandError(str(unknown)) from unknown
        told = explanation.explain(found, offline=options["offline"])
        if options["json"]:
            self.stdout.write(json.dumps(explanation.explanation_json(told), indent=2, ensure_ascii=False))
            return
        for line in explanation.explanation_lines(told):
            self.stdout.write(line)
