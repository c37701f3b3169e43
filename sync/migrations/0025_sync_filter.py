from django.db import migrations, models

EMPTY = models.Value({}, models.JSONField())


class Migration(migrations.Migration):
    dependencies = [("sync", "0024_exports_and_hours")]

    operations = [
        migrations.AddField(
            model_name="boardlink",
            name="sync_filter",
            field=models.JSONField(blank=True, db_default=EMPTY, verbose_name="which records and items are synced"),
        ),
        migrations.AddField(
            model_name="setupdraft", name="sync_filter", field=models.JSONField(blank=True, db_default=EMPTY)
        ),
        migrations.AddField(
            model_name="setupdraft", name="groups", field=models.JSONField(blank=True, db_default=EMPTY)
        ),
        migrations.AddField(
            model_name="syncmetadata",
            name="left_out",
            field=models.CharField(
                blank=True, db_default="", max_length=10, verbose_name="whose conditions of the filter leave it out"
            ),
        ),
    ]
