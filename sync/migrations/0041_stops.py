"""A stop has a code and a beginning, and a person who tries again asks Monday once; of which token an answer was."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0040_what_an_export_shows")]

    operations = [
        migrations.AddField(
            model_name="boardlink", name="blocked_since", field=models.DateTimeField(blank=True, null=True)
        ),
        migrations.AddField(
            model_name="mondayaccount",
            name="answered_mark",
            field=models.CharField(
                blank=True, db_default="", max_length=64, verbose_name="mark of the token that Monday answered last"
            ),
        ),
        migrations.AddField(
            model_name="mondayaccount",
            name="asked_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="last asked because a person tried again"),
        ),
        migrations.AddField(
            model_name="mondayaccount",
            name="pause_code",
            field=models.CharField(
                blank=True,
                choices=[
                    ("token", "Monday doesn't accept the token"),
                    ("account", "Monday rejects every call of the account"),
                    ("day_limit", "The day's calls are used up"),
                    ("limit", "Another limit of Monday's"),
                    ("outage", "Monday doesn't answer"),
                ],
                db_default="",
                max_length=20,
                verbose_name="why",
            ),
        ),
        migrations.AddField(
            model_name="mondayaccount", name="paused_since", field=models.DateTimeField(blank=True, null=True)
        ),
    ]
