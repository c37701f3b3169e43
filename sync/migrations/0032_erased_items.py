from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0031_api_writes")]

    operations = [
        migrations.AddField(
            model_name="refuseditem",
            name="erased",
            field=models.BooleanField(
                db_default=False, verbose_name="its person was erased: nothing of it may be stored"
            ),
        )
    ]
