"""What exports by API and tokens of an old kind needed goes with them."""

from django.db import migrations, models

SHORTEN = "UPDATE sync_api_tokens SET start = left(start, 8)"


class Migration(migrations.Migration):
    dependencies = [("sync", "0045_verified_at_night")]

    operations = [
        migrations.RemoveField(model_name="export", name="by_api"),
        migrations.RemoveField(model_name="apitoken", name="is_legacy"),
        migrations.RunSQL(SHORTEN, migrations.RunSQL.noop),
        migrations.AlterField(
            model_name="apitoken", name="start", field=models.CharField(max_length=8, verbose_name="begins with")
        ),
    ]
