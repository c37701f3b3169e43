"""The OpenAPI schema and its page."""

from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client

from tests.api.conftest import user_who_may


def test_the_schema_is_made_without_a_warning(tmp_path: Path) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", file=str(tmp_path / "schema.yml"))


def test_the_page_is_shown_to_who_is_signed_in_and_its_script_is_no_inline_script(db: None) -> None:
    browser = Client()
    browser.force_login(user_who_may("view_contact"))
    page = browser.get("/api/v1/docs/", headers={"Accept": "text/html"})
    assert page.status_code == 200
    html = page.content.decode()
    assert "<script>" not in html
    assert "/static/drf_spectacular_sidecar/" in html
    script = browser.get("/api/v1/docs/?script=", headers={"Accept": "*/*"})
    assert script.headers["Content-Type"] == "application/javascript"
    assert "/api/v1/schema/" in script.content.decode()


def test_an_account_without_any_right_is_told_nothing_of_the_api(db: None) -> None:
    browser = Client()
    browser.force_login(user_who_may())
    assert [browser.get(f"/api/v1/{page}/").status_code for page in ("docs", "schema")] == [403, 403]


@pytest.mark.parametrize(("accept", "status"), [("text/html", 302), ("*/*", 401)])
def test_the_page_sends_a_browser_to_the_login_and_refuses_a_program(db: None, accept: str, status: int) -> None:
    answer = Client().get("/api/v1/docs/", headers={"Accept": accept})
    assert answer.status_code == status
    if status == 302:
        assert answer.headers["Location"] == "/admin/login/?next=/api/v1/docs/"
