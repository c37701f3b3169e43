from django.db import migrations


class Migration(migrations.Migration):
    """The nightly comparison verifies, and spends no calls for it."""

    dependencies = [("sync", "0044_wrong_clocks")]

    operations = [migrations.RemoveField(model_name="syncaudit", name="calls")]
