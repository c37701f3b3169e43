from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("npd", "0015_what_off_means")]

    operations = [
        migrations.AddField(
            model_name="secondfactor", name="turned_on_told", field=models.BooleanField(db_default=True)
        )
    ]
