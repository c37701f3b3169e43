"""Entries of a batch that say the same of many records are listed within one of them; older ones stay as they are."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0027_one_spelling")]

    operations = [
        migrations.AlterModelOptions(
            name="decision",
            options={
                "ordering": ["-at", "-id"],
                "verbose_name": "activity entry",
                "verbose_name_plural": "activity entries",
            },
        ),
        migrations.AddField(
            model_name="decision",
            name="folded",
            field=models.BooleanField(
                db_default=False, default=False, verbose_name="listed within another of its batch"
            ),
        ),
        migrations.AddIndex(
            model_name="decision",
            index=models.Index(
                condition=models.Q(("folded", False)), fields=["-at", "-id"], name="sync_decisions_listed"
            ),
        ),
    ]
