"""Who is notified of what needs attention, and what they were notified of."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import sync.clock


class Migration(migrations.Migration):
    dependencies = [("sync", "0022_stored_secrets"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="Incident",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("key", models.CharField(max_length=200)),
                ("kind", models.CharField(max_length=30)),
                ("entity_type", models.CharField(blank=True, db_default="", max_length=50)),
                ("name", models.CharField(blank=True, db_default="", max_length=255)),
                ("cause_code", models.CharField(blank=True, db_default="", max_length=200)),
                ("cause", models.TextField(blank=True, db_default="")),
                ("url", models.CharField(blank=True, db_default="", max_length=500)),
                ("number", models.IntegerField(db_default=1)),
                ("summed", models.BooleanField(db_default=False)),
                ("noticed_at", models.DateTimeField(db_default=sync.clock.SyncNow())),
                ("gone_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "db_table": "sync_incidents",
                "default_permissions": (),
                "indexes": [
                    models.Index(
                        condition=models.Q(("gone_at__isnull", False)), fields=["gone_at"], name="sync_incidents_gone"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("gone_at", None)), fields=("key",), name="sync_incidents_one_open_a_key"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="NotificationReceiver",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "medium",
                    models.CharField(
                        choices=[("email", "E-mail"), ("slack", "Slack"), ("teams", "Microsoft Teams")], max_length=10
                    ),
                ),
                (
                    "frequency",
                    models.CharField(
                        choices=[
                            ("off", "Off"),
                            ("at_once", "At once"),
                            ("hourly", "Every hour"),
                            ("daily", "Once a day"),
                        ],
                        db_default="off",
                        max_length=10,
                    ),
                ),
                ("hour", models.SmallIntegerField(db_default=8, verbose_name="hour of the daily message")),
                ("zone", models.CharField(db_default="UTC", max_length=64, verbose_name="time zone")),
                ("address", models.TextField(blank=True, db_default="")),
                ("chosen_at", models.DateTimeField(db_default=sync.clock.SyncNow())),
                (
                    "alarm",
                    models.CharField(
                        blank=True,
                        choices=[("", "Nothing"), ("routine", "Something"), ("urgent", "Something urgent")],
                        db_default="",
                        max_length=10,
                    ),
                ),
                ("alarmed_at", models.DateTimeField(blank=True, null=True)),
                ("last_sent", models.DateTimeField(blank=True, null=True)),
                ("tested_at", models.DateTimeField(blank=True, null=True, verbose_name="last test")),
                ("failures", models.SmallIntegerField(db_default=0)),
                ("failed_since", models.DateTimeField(blank=True, null=True, verbose_name="failing since")),
                ("problem", models.TextField(blank=True, db_default="")),
                ("next_attempt", models.DateTimeField(blank=True, null=True)),
                ("stopped_at", models.DateTimeField(blank=True, null=True, verbose_name="switched off")),
                ("claimed_until", models.DateTimeField(blank=True, null=True)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "verbose_name": "notification receiver",
                "verbose_name_plural": "notification receivers",
                "db_table": "sync_notification_receivers",
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="Notification",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("sent_at", models.DateTimeField(db_default=sync.clock.SyncNow())),
                (
                    "incident",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="sync.incident"
                    ),
                ),
                (
                    "receiver",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="notifications",
                        to="sync.notificationreceiver",
                    ),
                ),
            ],
            options={"db_table": "sync_notifications", "default_permissions": ()},
        ),
        migrations.AddConstraint(
            model_name="notificationreceiver",
            constraint=models.UniqueConstraint(
                fields=("user", "medium"), name="sync_notification_receivers_one_a_medium"
            ),
        ),
        migrations.AddConstraint(
            model_name="notificationreceiver",
            constraint=models.CheckConstraint(
                condition=models.Q(("hour__gte", 0), ("hour__lte", 23)), name="sync_notification_receivers_hour"
            ),
        ),
        migrations.AddConstraint(
            model_name="notification",
            constraint=models.UniqueConstraint(fields=("receiver", "incident"), name="sync_notifications_once"),
        ),
    ]
