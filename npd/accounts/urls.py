"""allauth's addresses, one by one: all of them would open sign-up, reset by email and changes of the address."""

from allauth.account import views as account
from allauth.account.decorators import reauthentication_required
from allauth.socialaccount.views import login_cancelled
from django.conf import settings
from django.contrib.auth.models import User
from django.urls import include, path

sign_in = account.LoginView.as_view(
    extra_context={"is_demo": lambda: settings.DEMO, "has_accounts": User.objects.exists}
)

urlpatterns = [
    path("login/", sign_in, name="account_login"),
    path("logout/", account.logout, name="account_logout"),
    path("inactive/", account.account_inactive, name="account_inactive"),
    path("reauthenticate/", account.reauthenticate, name="account_reauthenticate"),
    path("password/change/", account.password_change, name="account_change_password"),
    path("password/set/", reauthentication_required(account.password_set), name="account_set_password"),
    path("sessions/", include("allauth.usersessions.urls")),
    path("2fa/", include("allauth.mfa.urls")),
    path("", include("allauth.socialaccount.providers.openid_connect.urls")),
    path("oidc/cancelled/", login_cancelled, name="socialaccount_login_cancelled"),
]
