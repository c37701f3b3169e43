"""The country of telephone numbers without one, which was the environment's alone, is chosen on a page."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0004_inbox_and_activity")]

    operations = [
        migrations.AddField(
            "mondayaccount",
            "phone_region",
            models.CharField(
                blank=True, db_default="", max_length=2, verbose_name="country of telephone numbers without one"
            ),
        )
    ]
