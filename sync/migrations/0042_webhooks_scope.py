"""Managing webhooks is a scope of its own."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0041_stops")]

    operations = [
        migrations.AlterField(
            model_name="apitoken",
            name="scopes",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(
                    choices=[
                        ("read", "Read"),
                        ("write", "Write"),
                        ("resolve", "Resolve conflicts"),
                        ("operate", "Operate the sync"),
                        ("webhooks", "Manage webhooks"),
                    ],
                    max_length=20,
                ),
                db_default=[],
                size=None,
            ),
        )
    ]
