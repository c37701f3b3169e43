"""A further synced model needs itself and its registration: its admin and its API are made from them."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from types import ModuleType

import pytest
from django.apps import AppConfig, apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import include, path

from config import urls
from sync import registry
from sync.admin.record_pages import register_generated
from sync.api.record_endpoints import record_paths
from tests.support import deals as support
from tests.support.deals import SPEC, Deal, deals

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def site(transactional_db: None) -> Iterator[None]:
    """The site with deals, as it is where their application is installed."""
    application = AppConfig("tests.support.deals", support)
    application.apps, application.models = apps, apps.all_models["deals"]
    with deals():
        apps.app_configs["deals"] = application
        register_generated(admin.site)
        module = ModuleType("tests.domain.third_model_urls")
        theirs = path("admin/", admin.site.urls), path("api/v1/", include(record_paths()))
        module.urlpatterns = [*theirs, *urls.urlpatterns]  # type: ignore[attr-defined]
        try:
            with override_settings(ROOT_URLCONF=module):
                yield
        finally:
            admin.site.unregister(Deal)
            del apps.app_configs["deals"]
            apps.clear_cache()  # which models there are is remembered


@pytest.fixture
def ada(client: Client, site: None) -> Client:
    client.force_login(User.objects.create_superuser("ada", "ada@example.test", "long-enough-1"))
    return client


FORM = {"name": "Boats", "stage": "Won", "due": "2026-12-24", "amount": "12.50", "won": "on", "owner": ""}
MET = {"met": "2026-12-01 10:30:00"}
PRODUCTS = {"products": "Sails, white\r\nRopes", "sync_enabled": "on", "sync_direction": "bidirectional"}


def test_its_form_takes_fields_of_every_kind_and_writes_only_what_was_changed(ada: Client) -> None:
    answer = ada.post("/admin/deals/deal/add/", FORM | MET | PRODUCTS)
    assert answer.status_code == 302, answer.content.decode()
    deal = Deal.objects.get()
    assert (deal.amount, deal.due, deal.won) == (Decimal("12.50"), date(2026, 12, 24), True)
    assert (deal.products, deal.met) == (["Sails, white", "Ropes"], datetime(2026, 12, 1, 10, 30, tzinfo=UTC))
    exact = datetime(2026, 12, 1, 10, 30, 0, 123456, tzinfo=UTC)  # more than the form shows
    Deal.objects.filter(pk=deal.pk).update(met=exact)
    address = f"/admin/deals/deal/{deal.pk}/change/"
    page = ada.get(address)
    shown = page.context["adminform"].form.shown_json
    Deal.objects.filter(pk=deal.pk).update(stage="Lost", due=date(2027, 1, 1))  # meanwhile, by somebody else
    saved = ada.post(address, FORM | MET | PRODUCTS | {"amount": "13", "_shown": shown})
    assert saved.status_code == 302, saved.content.decode()
    deal.refresh_from_db()
    assert (deal.amount, deal.stage, deal.due) == (Decimal("13.00"), "Lost", date(2027, 1, 1))
    assert deal.met == exact
    assert deal.products == ["Sails, white", "Ropes"]


def test_a_variable_of_its_own_may_name_its_board(site: None) -> None:
    assert SPEC.board_setting == "MONDAY_DEALS_BOARD_ID"
    with override_settings(BOARD_IDS={"MONDAY_DEALS_BOARD_ID": "77"}):
        assert registry.configured_board_id("deal") == "77"
