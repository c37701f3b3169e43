"""When Monday refused a call for the limit of the day, which is news of it that its own older figure lacks."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0004_inbox_and_activity")]

    operations = [migrations.AddField("apibudget", "refused_at", models.DateTimeField(blank=True, null=True))]
