from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0025_sync_filter")]

    # Labels alone: nothing changes in the database.
    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="boardlink",
                    name="creates_records",
                    field=models.BooleanField(db_default=False, verbose_name="create records from new Monday items"),
                ),
                migrations.AlterField(
                    model_name="fieldmapping",
                    name="required",
                    field=models.BooleanField(db_default=False, verbose_name="required"),
                ),
            ]
        )
    ]
