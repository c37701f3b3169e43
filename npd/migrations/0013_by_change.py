"""An index by which records are listed by the time of their last change, and found that changed since a time."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("npd", "0012_record_events")]

    operations = [
        migrations.AddIndex(model_name="contact", index=models.Index(fields=["updated_at"], name="contacts_by_change")),
        migrations.AddIndex(
            model_name="organization", index=models.Index(fields=["updated_at"], name="organizations_by_change")
        ),
    ]
