"""The titles under which people know the mapped columns: one that is renamed is told until somebody calls it fine."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0010_ledger_held")]

    operations = [
        migrations.AddField(
            model_name="boardlink",
            name="known_titles",
            field=models.JSONField(
                blank=True,
                db_default=models.Value({}, models.JSONField()),
                verbose_name="the titles under which people know the mapped columns, by id",
            ),
        )
    ]
