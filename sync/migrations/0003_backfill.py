"""What a backfill must remember to be taken up again after its process died."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0002_allowance_and_bulk")]

    operations = [
        migrations.AddField(model_name="backfill", name=name, field=field)
        for name, field in (
            ("group_id", models.CharField(blank=True, db_default="", max_length=50)),
            ("job_at", models.DateTimeField(blank=True, null=True, verbose_name="job started")),
            ("key", models.CharField(blank=True, db_default="", max_length=64, verbose_name="idempotency key")),
            ("look_at", models.DateTimeField(blank=True, null=True, verbose_name="Monday is asked again")),
            ("polls", models.SmallIntegerField(db_default=0)),
            ("put_at", models.DateTimeField(blank=True, null=True, verbose_name="file about to be sent")),
            ("tries", models.SmallIntegerField(db_default=0, verbose_name="files refused")),
        )
    ]
