"""“Email” is spelled so everywhere, and states are called as on the pages; nothing is stored anew."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0026_words_of_the_board_page")]

    operations = [
        migrations.AlterField(
            model_name="mondayaccount",
            name="users",
            field=models.JSONField(
                blank=True, db_default=models.Value({}, models.JSONField()), verbose_name="users by id: name and email"
            ),
        ),
        migrations.AlterField(
            model_name="notificationreceiver",
            name="medium",
            field=models.CharField(
                choices=[("email", "Email"), ("slack", "Slack"), ("teams", "Microsoft Teams")], max_length=10
            ),
        ),
        migrations.AlterField(
            model_name="syncmetadata",
            name="sync_status",
            field=models.CharField(
                choices=[
                    ("pending", "Pending"),
                    ("in_progress", "In progress"),
                    ("completed", "Done"),
                    ("failed", "Failed"),
                    ("skipped", "Sync off"),
                ],
                db_default="pending",
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="syncqueue",
            name="status",
            field=models.CharField(
                choices=[
                    ("pending", "Pending"),
                    ("in_progress", "In progress"),
                    ("completed", "Done"),
                    ("failed", "Failed"),
                ],
                db_default="pending",
                max_length=20,
            ),
        ),
    ]
