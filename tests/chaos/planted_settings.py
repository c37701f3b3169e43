"""The product's own settings, and the application that can make it behave wrongly."""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS as PRODUCT

INSTALLED_APPS = [*PRODUCT, "tests.chaos.planted.apps.Planted"]
