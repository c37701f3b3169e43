"""A file is downloaded by whoever may still view all types of records that it names."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0039_owners_of_endpoints")]

    operations = [
        migrations.AddField(
            model_name="export",
            name="shown_types",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=50),
                db_default=[],
                size=None,
                verbose_name="types whose records its owner could view",
            ),
        )
    ]
