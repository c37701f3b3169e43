"""Rows whose worker died are claimed in parts: alone is a part of one."""

from django.db import migrations, models

FORWARD = "UPDATE sync_queue SET claim_at_most = 1 WHERE claim_alone"
BACKWARD = "UPDATE sync_queue SET claim_alone = true WHERE claim_at_most > 0"


class Migration(migrations.Migration):
    dependencies = [("sync", "0046_less_api")]

    operations = [
        migrations.AddField(
            model_name="syncqueue",
            name="claim_at_most",
            field=models.SmallIntegerField(
                db_default=0, verbose_name="records claimed together next, 0: as many as fit"
            ),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
        migrations.RemoveField(model_name="syncqueue", name="claim_alone"),
    ]
