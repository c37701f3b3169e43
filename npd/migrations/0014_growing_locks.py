from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("npd", "0013_by_change")]

    operations = [
        migrations.AddField(
            model_name="secondfactor",
            name="failed_password",
            field=models.CharField(blank=True, db_default="", max_length=16),
        ),
        migrations.AddField(model_name="secondfactor", name="told", field=models.SmallIntegerField(db_default=0)),
    ]
