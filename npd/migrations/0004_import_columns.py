"""A file's rows keep what can't be read of them, and may wait for their columns to be chosen."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("npd", "0003_accounts_by_allauth")]

    operations = [
        migrations.AddField(
            model_name="importrow",
            name="broken",
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField())),
        ),
        migrations.AlterField(
            model_name="importjob",
            name="state",
            field=models.CharField(
                choices=[
                    ("reading", "Being read"),
                    ("failed", "Could not be read"),
                    ("columns", "Columns to be chosen"),
                    ("shown", "Not confirmed yet"),
                    ("running", "Being written"),
                    ("done", "Written"),
                    ("undoing", "Being undone"),
                    ("undone", "Undone"),
                ],
                db_default="shown",
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="importrow",
            name="outcome",
            field=models.CharField(
                blank=True,
                choices=[
                    ("new", "New"),
                    ("changed", "Changed"),
                    ("unchanged", "Unchanged"),
                    ("invalid", "Invalid"),
                    ("ambiguous", "Ambiguous"),
                ],
                db_default="",
                max_length=20,
            ),
        ),
    ]
