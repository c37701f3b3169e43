"""An index by which the inbox counts unmatched items by reason and finds the oldest of each."""

from django.db import migrations, models

EXPLAINED = ["queued", "waits_for_import", "paused", "unconfirmed", "being_edited", "ambiguous", "left_out"]


class Migration(migrations.Migration):
    dependencies = [("sync", "0029_api_tokens")]

    operations = [
        migrations.AddIndex(
            model_name="unmatcheditem",
            index=models.Index(
                fields=["entity_type", "reason_code", "first_seen", "id"],
                condition=models.Q(("ignored_at", None), models.Q(("reason_code__in", EXPLAINED), _negated=True)),
                name="sync_unmatched_items_causes",
            ),
        )
    ]
