"""Managing webhooks is a scope of its own. Tokens that could until now, by the scope to operate, still can."""

import django.contrib.postgres.fields
from django.db import migrations, models

GIVE = "UPDATE sync_api_tokens SET scopes = array_append(scopes, 'webhooks') WHERE 'operate' = ANY (scopes)"
TAKE = "UPDATE sync_api_tokens SET scopes = array_remove(scopes, 'webhooks')"


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
        ),
        migrations.RunSQL(GIVE, TAKE),
    ]
