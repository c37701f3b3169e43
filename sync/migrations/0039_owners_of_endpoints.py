"""A webhook endpoint gets what its owner may view: whoever made it."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0038_exports_by_api"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.AddField(
            model_name="webhookendpoint",
            name="owner",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AlterField(
            model_name="webhookendpoint",
            name="disabled_code",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", "On"),
                    ("person", "Switched off by a person"),
                    ("gone", "Its server says that it is gone"),
                    ("failing", "Every delivery failed for five days"),
                    ("owner", "Its owner is gone, or may view nothing any more"),
                ],
                db_default="",
                max_length=20,
                verbose_name="why it is off",
            ),
        ),
        migrations.RunSQL(
            "UPDATE sync_webhook_endpoints SET owner_id = created_by_id",
            # Who had it last is whose it is on the way forward again, not who made it once.
            "UPDATE sync_webhook_endpoints SET created_by_id = owner_id,"
            " disabled_code = CASE disabled_code WHEN 'owner' THEN 'person' ELSE disabled_code END",
        ),
    ]
