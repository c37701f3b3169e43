"""After a restore, lets records and fields that flow to Monday only take Monday's values once.

    python manage.py shell < this file

Otherwise yesterday's values would overwrite today's, which were sent before the database was lost. one-way.json stores
what was one-way, and one_way_again.py restores it.
"""

import json
from pathlib import Path

from sync import registry
from sync.models import FieldMapping

ONE_WAY, BOTH_WAYS = "npd_to_monday", "bidirectional"
KEPT = Path("one-way.json")

groups = {spec.entity_type: spec.model._default_manager.filter(sync_direction=ONE_WAY) for spec in registry.entities()}
mappings = FieldMapping.objects.filter(direction=ONE_WAY)
if KEPT.exists():
    raise SystemExit(f"{KEPT} is there already: run one_way_again.py, or take the file away.")
kept = {name: [str(key) for key in records.values_list("pk", flat=True)] for name, records in groups.items()}
kept["mappings"] = [mapping.pk for mapping in mappings]
KEPT.write_text(json.dumps(kept))
for records in groups.values():
    records.update(sync_direction=BOTH_WAYS)
mappings.update(direction=BOTH_WAYS)
print({name: len(keys) for name, keys in kept.items()}, "flow both ways until one_way_again.py is run.")
