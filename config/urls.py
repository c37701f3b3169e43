"""The site's URLs."""

from collections.abc import Callable

import structlog
import unfold.sites
from allauth.account import views as account
from allauth.account.decorators import reauthentication_required, secure_admin_login
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.helpers import render_authentication_error
from allauth.socialaccount.providers.openid_connect import views as provider
from allauth.socialaccount.views import login_cancelled
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.cache.backends.dummy import DummyCache
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import DataError
from django.http import HttpRequest, HttpResponse
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from requests import RequestException

from config import help_pages, middleware
from config.navigation import ADVANCED, command_search, settings_page
from npd.sign_in import SetPassword
from sync.admin import home, home_acts
from sync.admin.notifications_and_tokens import notifications_page
from sync.admin.record_pages import register_generated
from sync.api import record_endpoints, service_endpoints

log = structlog.get_logger(__name__)


sign_in = account.LoginView.as_view(
    extra_context={"is_demo": lambda: settings.DEMO, "has_accounts": User.objects.exists}
)


# Raised if the identity provider doesn't answer, or answers with nonsense that nobody can read or store (allauth calls
# it improperly configured if a `sub` is too long).
PROVIDER_ERRORS = (
    *(RequestException, DataError, ImproperlyConfigured, ValidationError),
    *(ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError),
)


def with_provider_errors(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Show allauth's error page for PROVIDER_ERRORS, and let no visitor choose what the provider is asked for."""

    def wrapped(request: HttpRequest, provider_id: str) -> HttpResponse:
        query = request.GET.copy()
        for name in ("auth_params", "scope"):
            query.pop(name, None)
        request.GET = query  # type: ignore[assignment]
        try:
            return view(request, provider_id)
        except PROVIDER_ERRORS as error:
            log.warning("the identity provider can't be asked", error=type(error).__name__)
            app = get_adapter().get_provider(request, provider_id)
            answer: HttpResponse = render_authentication_error(request, app, exception=error)
            return answer

    return wrapped


# Unfold would keep search results for five minutes, even after a permission was removed or a person was erased.
unfold.sites.cache = DummyCache("", {})

# Here, because by now every application has registered its models and its own admin classes.
register_generated(admin.site)

# The admin's own sign-in would not ask for a second factor, nor limit wrong passwords.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

# Not all of allauth's URLs, which include sign-up, reset by email and changes of the email address.
ACCOUNT_ADDRESSES = [
    path("login/", sign_in, name="account_login"),
    path("logout/", account.logout, name="account_logout"),
    path("inactive/", account.account_inactive, name="account_inactive"),
    path("reauthenticate/", account.reauthenticate, name="account_reauthenticate"),
    path("password/change/", account.password_change, name="account_change_password"),
    path("password/set/", reauthentication_required(account.password_set), name="account_set_password"),
    path("sessions/", include("allauth.usersessions.urls")),
    path("2fa/", include("allauth.mfa.urls")),
    path("oidc/<str:provider_id>/login/", with_provider_errors(provider.login), name="openid_connect_login"),
    path(
        "oidc/<str:provider_id>/login/callback/",
        with_provider_errors(provider.callback),
        name="openid_connect_callback",
    ),
    path("oidc/cancelled/", login_cancelled, name="socialaccount_login_cancelled"),
]

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    # Django's “view on site” fails on UUIDs; none of our rows has such a page, so no person comes here.
    re_path("^admin/r/", middleware.unknown_address),
    path("admin/help/", admin.site.admin_view(help_pages.help_start), name="npd-help-start"),
    path("admin/help/<path:name>", admin.site.admin_view(help_pages.help_page), name="npd-help"),
    path("admin/search/", admin.site.admin_view(command_search), name="npd-search"),
    path("admin/settings/", admin.site.admin_view(settings_page), name="npd-settings"),
    path("admin/settings/advanced/", admin.site.admin_view(settings_page), {"block": ADVANCED}, name="npd-advanced"),
    path("admin/home/rows/", admin.site.admin_view(home.home_rows), name="npd-home-rows"),
    path("admin/home/act/", admin.site.admin_view(home_acts.act_on_entries), name="npd-home-act"),
    path("admin/home/question/", admin.site.admin_view(home_acts.follow_question), name="npd-home-question"),
    path("admin/home/undo/", admin.site.admin_view(home_acts.undo_last_act), name="npd-home-undo"),
    path("admin/notifications/", admin.site.admin_view(notifications_page), name="npd-notifications"),
    path("accounts/", include(ACCOUNT_ADDRESSES)),
    path("admin/logout/", account.logout),
    path("admin/password_change/", RedirectView.as_view(pattern_name="account_change_password")),
    # Django's history of each row is in the audit log, and a record's in its activity.
    path("admin/<path:page>/history/", RedirectView.as_view(url="/admin/%(page)s/change/")),
    path("admin/", admin.site.urls),
    # Of a link that an administrator has sent or copied (npd/sign_in.py).
    path("set-password/<uidb64>/<token>/", SetPassword.as_view(), name="npd-set-password"),
    path("go/<uuid:record_id>", admin.site.admin_view(record_endpoints.redirect_to_record), name="go-to-record"),
    path("api/v1/", RedirectView.as_view(pattern_name="docs")),
    path("api/v1/", include(record_endpoints.record_paths())),
    path("api/v1/sync/", include("sync.api.sync_endpoints")),
    path("api/v1/sync/", include("conflicts.pages.api")),
    path("api/v1/schema/", service_endpoints.SchemaView.as_view(), name="schema"),
    path("api/v1/docs/", service_endpoints.DocsView.as_view(url_name="schema"), name="docs"),
    path("webhooks/monday/", service_endpoints.receive_webhook, name="webhook"),
    path("webhooks/monday/<str:token>/", service_endpoints.receive_webhook, name="webhook-with-token"),
    path("cron/sync-queue", service_endpoints.work_queue, name="cron-sync-queue"),
    # Programs get JSON instead of the site's page for an unknown address.
    re_path("^(?:api|webhooks|cron)(?:/|$)", middleware.unknown_address),
    path("healthz", service_endpoints.healthz),
    path("readyz", service_endpoints.readyz),
    path("metrics", service_endpoints.show_metrics),
]

handler400 = "config.middleware.bad_request"
handler403 = "config.middleware.not_allowed"
handler404 = "config.middleware.not_found"
handler500 = "config.middleware.failed"
