"""The settings of chaos, and the application that can make it behave wrongly."""

from tests.chaos.chaos_settings import *  # noqa: F403
from tests.chaos.chaos_settings import INSTALLED_APPS as PRODUCT

INSTALLED_APPS = [*PRODUCT, "tests.chaos.planted.apps.Planted"]
