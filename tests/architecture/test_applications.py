"""An application beside npd/ is everywhere where applications are named: in the image, in what checks them."""

import re

import pytest
from django.conf import settings

from tests.architecture.test_arrows import APPLICATIONS, ROOT

# What names them: the file, and the line that it needs for an application.
PLACES = {
    "Dockerfile": r"^COPY {app} {app}$",
    "Dockerfile, its bytecode": r"compileall .*\b{app}\b",
    ".dockerignore": r"^!{app}$",
    "pyproject.toml": r'^files = \[.*"{app}"',
    "ops/try_production.sh": r"^cp -r .*\b{app}\b",
}


@pytest.mark.parametrize("place", PLACES)
def test_every_application_is_named_in(place: str) -> None:
    text = (ROOT / place.partition(",")[0]).read_text()
    assert {"npd", "sync", "conflicts"} <= {*APPLICATIONS} <= {*settings.INSTALLED_APPS}
    missing = [app for app in APPLICATIONS if not re.search(PLACES[place].format(app=app), text, re.MULTILINE)]
    assert missing == [], f"Add {missing} to {place}."
