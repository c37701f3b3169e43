"""Our groups, as migrations make them."""

from importlib import import_module

from django.apps import apps
from django.db.migrations.loader import MigrationLoader


def make_groups() -> None:
    """By each migration with the models as it knew them; a test before may have emptied the tables."""
    known = MigrationLoader(None).project_state([("npd", "0017_roles")]).apps
    import_module("npd.migrations.0005_groups").make(known, None)
    import_module("npd.migrations.0007_vocabulary").rename(known, None)
    import_module("npd.migrations.0008_unmatched_items").permit(known, None)
    import_module("npd.migrations.0017_roles").narrow(known, None)
    import_module("npd.migrations.0018_todays_words").rename(apps, None)
