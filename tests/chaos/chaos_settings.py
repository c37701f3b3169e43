"""The product's settings with small pages, and a guard low enough for a short script to reach."""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS as PRODUCT

INSTALLED_APPS = [*PRODUCT, "tests.chaos.apps.Chaos"]
GUARD_RECORDS = 4  # as people_npd.LIMIT
