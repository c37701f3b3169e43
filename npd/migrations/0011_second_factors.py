import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import sync.clock


class Migration(migrations.Migration):
    dependencies = [("npd", "0010_match_keys"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="SecondFactor",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sealed_key", models.TextField()),
                (
                    "recovery",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64), default=list, size=None
                    ),
                ),
                ("last_step", models.BigIntegerField(db_default=-1)),
                ("failures", models.SmallIntegerField(db_default=0)),
                ("failed_at", models.DateTimeField(null=True)),
                ("made_at", models.DateTimeField(db_default=sync.clock.SyncNow())),
                ("confirmed_at", models.DateTimeField(null=True)),
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="second_factor",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"db_table": "npd_second_factors", "default_permissions": ()},
        )
    ]
