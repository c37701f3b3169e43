"""A narrow index by which the sidebar's number counts unmatched items."""

from django.db import migrations, models

EXPLAINED = ["queued", "waits_for_import", "paused", "unconfirmed", "being_edited", "ambiguous", "left_out"]


class Migration(migrations.Migration):
    dependencies = [("sync", "0035_tokens_made_with_tokens")]

    operations = [
        migrations.AddIndex(
            model_name="unmatcheditem",
            index=models.Index(
                fields=["reason_code"],
                condition=models.Q(("ignored_at", None), models.Q(("reason_code__in", EXPLAINED), _negated=True)),
                name="sync_unmatched_items_counted",
            ),
        )
    ]
