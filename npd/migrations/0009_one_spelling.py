"""The label of a contact's address is “Email”, as its column's title on Monday; nothing is stored anew."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("npd", "0008_unmatched_items")]

    operations = [
        migrations.AlterField(
            model_name=model,
            name="email",
            field=models.EmailField(blank=True, db_default="", default="", max_length=254),
        )
        for model in ("contact", "contactevent")
    ]
