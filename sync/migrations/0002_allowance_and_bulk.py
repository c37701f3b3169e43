import uuid

import django.db.models.deletion
from django.db import migrations, models

import sync.clock


class Migration(migrations.Migration):
    dependencies = [("sync", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="ApiReservation",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("entity_type", models.CharField(blank=True, db_default="", max_length=50)),
                ("calls", models.SmallIntegerField()),
                ("points", models.BigIntegerField()),
                ("expires", models.DateTimeField()),
            ],
            options={"db_table": "sync_api_reservations"},
        ),
        migrations.AddField(
            model_name="boardlink",
            name="batch_limit",
            field=models.SmallIntegerField(
                blank=True, null=True, verbose_name="records a document, by the time calls took"
            ),
        ),
        migrations.AddField(
            model_name="boardlink", name="last_look", field=models.DateTimeField(blank=True, null=True)
        ),
        migrations.AddField(
            model_name="boardlink",
            name="read_points",
            field=models.FloatField(blank=True, null=True, verbose_name="complexity points of a look's read"),
        ),
        migrations.AddField(
            model_name="boardlink",
            name="write_points",
            field=models.FloatField(blank=True, null=True, verbose_name="complexity points of a record written"),
        ),
        migrations.AddField(
            model_name="fieldmapping",
            name="options",
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField())),
        ),
        migrations.AddField(
            model_name="mondayaccount",
            name="tier",
            field=models.CharField(blank=True, db_default="", max_length=30, verbose_name="plan"),
        ),
        migrations.AddField(
            model_name="mondayaccount",
            name="users",
            field=models.JSONField(
                blank=True, db_default=models.Value({}, models.JSONField()), verbose_name="users by id: name and e-mail"
            ),
        ),
        migrations.AddField(
            model_name="mondayaccount", name="users_at", field=models.DateTimeField(blank=True, null=True)
        ),
        migrations.AddField(
            model_name="mondayaccount",
            name="version_kind",
            field=models.CharField(blank=True, db_default="", max_length=30),
        ),
        migrations.CreateModel(
            name="ApiBudget",
            fields=[
                ("id", models.SmallIntegerField(db_default=1, primary_key=True, serialize=False)),
                ("day_limit", models.IntegerField(blank=True, null=True)),
                ("minute_limit", models.IntegerField(blank=True, null=True)),
                ("points_limit", models.BigIntegerField(blank=True, null=True)),
                ("concurrency_limit", models.IntegerField(blank=True, null=True)),
                ("minute_ends", models.DateTimeField(blank=True, null=True)),
                ("minute_calls", models.IntegerField(db_default=0)),
                ("points_end", models.DateTimeField(blank=True, null=True)),
                ("points", models.BigIntegerField(db_default=0, verbose_name="complexity points spent in the window")),
                ("day", models.DateField(blank=True, null=True)),
                ("day_calls", models.DecimalField(db_default=0, decimal_places=1, max_digits=10)),
                ("others_calls", models.DecimalField(db_default=0, decimal_places=1, max_digits=10)),
                ("reported_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "db_table": "sync_api_budget",
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="sync_api_budget_one_row")],
            },
        ),
        migrations.CreateModel(
            name="ApiUsage",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("slot", models.DateTimeField(db_default=sync.clock.SyncNow())),
                ("entity_type", models.CharField(blank=True, db_default="", max_length=50)),
                ("calls", models.DecimalField(db_default=0, decimal_places=1, max_digits=10)),
                ("looks", models.IntegerField(db_default=0)),
                ("points", models.BigIntegerField(db_default=0)),
                ("rejections", models.IntegerField(db_default=0)),
            ],
            options={
                "db_table": "sync_api_usage",
                "constraints": [
                    models.UniqueConstraint(fields=("slot", "entity_type"), name="sync_api_usage_one_a_slot")
                ],
            },
        ),
        migrations.CreateModel(
            name="Backfill",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50)),
                ("board_id", models.CharField(max_length=50)),
                ("job_id", models.CharField(blank=True, db_default="", max_length=100)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("started", "Started: its rows are announced"),
                            ("uploaded", "Uploaded: Monday works on it"),
                            ("listed", "Monday is done: items are linked"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                        ],
                        db_default="started",
                        max_length=20,
                    ),
                ),
                ("rows", models.IntegerField(db_default=0)),
                ("counts", models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()))),
                ("problem", models.TextField(blank=True, db_default="")),
                ("started_by", models.CharField(blank=True, db_default="", max_length=150)),
                ("created_at", models.DateTimeField(db_default=sync.clock.SyncNow())),
                ("seen_at", models.DateTimeField(db_default=sync.clock.SyncNow(), verbose_name="last sign of life")),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "db_table": "sync_backfills",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state__in", ["done", "failed"]), _negated=True),
                        fields=("entity_type",),
                        name="sync_backfills_one_open_a_board",
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="intent",
            name="backfill",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="intents",
                to="sync.backfill",
            ),
        ),
    ]
