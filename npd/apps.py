from django.apps import AppConfig


class NpdConfig(AppConfig):
    name = "npd"
    verbose_name = "NPD"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from npd import synced
        from sync import model_names

        model_names.translate(self)
        synced.register()
