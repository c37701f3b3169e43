"""The product's own settings, with small pages, and a guard that holds what a script of some steps can do."""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS as PRODUCT

INSTALLED_APPS = [*PRODUCT, "tests.chaos.apps.Chaos"]
GUARD_RECORDS = 4  # as people_npd.LIMIT
