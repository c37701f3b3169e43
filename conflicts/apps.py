from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ConflictsConfig(AppConfig):
    name = "conflicts"
    verbose_name = _("Conflicts")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from conflicts import desk
        from sync import model_names

        model_names.translate(self)
        desk.register()
