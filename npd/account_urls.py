"""allauth's addresses, one by one: all of them would open sign-up, reset by email and changes of the address."""

from collections.abc import Callable

import structlog
from allauth.account import views as account
from allauth.account.decorators import reauthentication_required
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.helpers import render_authentication_error
from allauth.socialaccount.providers.openid_connect import views as provider
from allauth.socialaccount.views import login_cancelled
from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from requests import RequestException

log = structlog.get_logger(__name__)

sign_in = account.LoginView.as_view(
    extra_context={"is_demo": lambda: settings.DEMO, "has_accounts": User.objects.exists}
)


def where_it_answers(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Wrap a view that asks the identity provider, which may not answer, or with what is none of its documents."""

    def wrapped(request: HttpRequest, provider_id: str) -> HttpResponse:
        try:
            return view(request, provider_id)
        except (RequestException, AttributeError, LookupError, TypeError, ValueError) as error:
            log.warning("the identity provider can't be asked", error=type(error).__name__)
            app = get_adapter().get_provider(request, provider_id)
            answer: HttpResponse = render_authentication_error(request, app, exception=error)
            return answer

    return wrapped


urlpatterns = [
    path("login/", sign_in, name="account_login"),
    path("logout/", account.logout, name="account_logout"),
    path("inactive/", account.account_inactive, name="account_inactive"),
    path("reauthenticate/", account.reauthenticate, name="account_reauthenticate"),
    path("password/change/", account.password_change, name="account_change_password"),
    path("password/set/", reauthentication_required(account.password_set), name="account_set_password"),
    path("sessions/", include("allauth.usersessions.urls")),
    path("2fa/", include("allauth.mfa.urls")),
    path("oidc/<str:provider_id>/login/", where_it_answers(provider.login), name="openid_connect_login"),
    path("oidc/<str:provider_id>/login/callback/", where_it_answers(provider.callback), name="openid_connect_callback"),
    path("oidc/cancelled/", login_cancelled, name="socialaccount_login_cancelled"),
]
