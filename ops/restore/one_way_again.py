"""After a restore, makes the records and fields of take_from_monday.py one-way again; run it in the same way."""

from django.core.cache import cache
from django.db import transaction

from sync import registry
from sync.models import FieldMapping

ONE_WAY = "npd_to_monday"
KEPT = "one-way"

kept = cache.get(KEPT)
if kept is None:
    raise SystemExit("Nothing is to be made one-way again: take_from_monday.py was not run on this database.")
with transaction.atomic():
    for spec in registry.entities():
        spec.model._default_manager.filter(pk__in=kept[spec.entity_type]).update(sync_direction=ONE_WAY)
    FieldMapping.objects.filter(pk__in=kept["mappings"]).update(direction=ONE_WAY)
    cache.delete(KEPT)
print({name: len(keys) for name, keys in kept.items()}, "flow to Monday only again.")
