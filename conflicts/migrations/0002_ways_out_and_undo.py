"""What conflicts about the record itself are about, and what undoes a resolution."""

from django.db import migrations, models

MOVE_TO_ABOUT = "UPDATE sync_conflicts SET about = npd_data WHERE kind = 'identity'"


class Migration(migrations.Migration):
    dependencies = [("conflicts", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="syncconflict",
            name="about",
            field=models.JSONField(db_default=models.Value({}, models.JSONField())),
        ),
        migrations.AddField(
            model_name="syncconflict",
            name="inverse",
            field=models.JSONField(
                db_default=models.Value({}, models.JSONField()), verbose_name="what undoes it, by field"
            ),
        ),
        migrations.RunSQL(MOVE_TO_ABOUT, migrations.RunSQL.noop),
    ]
