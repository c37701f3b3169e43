"""Rows of an import keep what Monday will probably reject; who edits records has a group."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("npd", "0004_import_columns")]

    operations = [
        migrations.AddField(
            model_name="importrow",
            name="warnings",
            field=models.JSONField(blank=True, db_default=models.Value([], models.JSONField())),
        )
    ]
