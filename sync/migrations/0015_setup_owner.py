"""A set-up's draft has one owner, since a time; the revisions go. A draft that is open or runs goes on as it is."""

from __future__ import annotations

from django.db import migrations, models

import sync.clock


class Migration(migrations.Migration):
    dependencies = [("sync", "0014_reason_codes")]

    operations = [
        migrations.RemoveField(model_name="setupdraft", name="revision"),
        migrations.RenameField(model_name="setupdraft", old_name="changed_by", new_name="owner"),
        migrations.AddField(
            model_name="setupdraft", name="owned_at", field=models.DateTimeField(db_default=sync.clock.SyncNow())
        ),
        migrations.AlterField(
            model_name="setupdraft",
            name="state",
            field=models.CharField(
                choices=[
                    ("drawn", "Draft"),
                    ("comparing", "Both sides are being compared"),
                    ("compared", "Waits to be confirmed"),
                    ("running", "Being applied"),
                    ("done", "Applied"),
                ],
                db_default="drawn",
                max_length=20,
            ),
        ),
        # Last: no later statement alters the table whose rows it writes.
        migrations.RunSQL("UPDATE sync_setup_drafts SET owned_at = changed_at", migrations.RunSQL.noop),
    ]
