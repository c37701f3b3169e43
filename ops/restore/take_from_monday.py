"""After a restore, lets records and fields that flow to Monday only take Monday's values once.

    python manage.py shell < this file

Otherwise yesterday's values would overwrite today's, which were sent before the database was lost. The database's cache
stores what was one-way, because a container has no folder for it; one_way_again.py restores it.
"""

from django.core.cache import cache
from django.db import transaction

from sync import registry
from sync.models import FieldMapping

ONE_WAY, BOTH_WAYS = "npd_to_monday", "bidirectional"
KEPT = "one-way"

groups = {spec.entity_type: spec.model._default_manager.filter(sync_direction=ONE_WAY) for spec in registry.entities()}
mappings = FieldMapping.objects.filter(direction=ONE_WAY)
kept = {name: list(records.values_list("pk", flat=True)) for name, records in groups.items()}
kept["mappings"] = [mapping.pk for mapping in mappings]
with transaction.atomic():
    if not cache.add(KEPT, kept, timeout=None):
        raise SystemExit("This was run already: run one_way_again.py.")
    for records in groups.values():
        records.update(sync_direction=BOTH_WAYS)
    mappings.update(direction=BOTH_WAYS)
print({name: len(keys) for name, keys in kept.items()}, "flow both ways until one_way_again.py is run.")
