"""Exports of the API's lists beside those of the admin's."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0037_deletions_in_order")]

    operations = [
        migrations.AddField(
            model_name="export",
            name="by_api",
            field=models.BooleanField(db_default=False, verbose_name="its filters are those of the API's list"),
        )
    ]
