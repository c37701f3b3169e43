"""After a restore, makes the records and fields of take_from_monday.py one-way again; run it in the same way."""

import json
from pathlib import Path

from sync import registry
from sync.models import FieldMapping

ONE_WAY = "npd_to_monday"
KEPT = Path("one-way.json")

kept = json.loads(KEPT.read_text())
for spec in registry.entities():
    spec.model._default_manager.filter(pk__in=kept[spec.entity_type]).update(sync_direction=ONE_WAY)
FieldMapping.objects.filter(pk__in=kept["mappings"]).update(direction=ONE_WAY)
KEPT.unlink()
print({name: len(keys) for name, keys in kept.items()}, "flow to Monday only again.")
