"""A token that was made with another token ends with it; of those made before, nobody knows.

On the way back it is kept in a table of its own, for the next update.
"""

# ruff: noqa: S608 - statements made of the name below

import django.db.models.deletion
from django.db import migrations, models

KEPT = "sync_api_tokens_made"


def take_back(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        if KEPT not in schema_editor.connection.introspection.table_names(cursor):
            return
    schema_editor.execute(
        f"""
        UPDATE sync_api_tokens AS token SET made_with_id = kept.made_with_id FROM {KEPT} AS kept
        WHERE token.id = kept.id AND kept.made_with_id IN (SELECT id FROM sync_api_tokens)
        """
    )
    schema_editor.execute(f"DROP TABLE {KEPT}")


def keep(apps, schema_editor):
    schema_editor.execute(
        f"CREATE TABLE {KEPT} AS SELECT id, made_with_id FROM sync_api_tokens WHERE made_with_id IS NOT NULL"
    )


class Migration(migrations.Migration):
    dependencies = [("sync", "0034_plain_labels")]

    operations = [
        migrations.AddField(
            model_name="apitoken",
            name="made_with",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="made",
                to="sync.apitoken",
            ),
        ),
        migrations.RunPython(take_back, keep),
    ]
