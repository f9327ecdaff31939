"""All addresses."""

from __future__ import annotations

from allauth.account import views as allauth
from django.contrib.auth.decorators import login_not_required
from django.templatetags.static import static
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from phonebank.accounts.views import password
from phonebank.whatsappapi.views.health import live, ready
from phonebank.whatsappapi.views.links import phone_link
from phonebank.whatsappapi.views.operations import prometheus

# allauth's pages by name, not its whole list: what is not listed here does not exist. The names are allauth's own.
account_pages = [
    path("login/", allauth.login, name="account_login"),
    path("logout/", allauth.logout, name="account_logout"),
    path("signup/", allauth.signup, name="account_signup"),
    path("inactive/", allauth.account_inactive, name="account_inactive"),
    path("confirm-email/", allauth.email_verification_sent, name="account_email_verification_sent"),
    re_path(r"^confirm-email/(?P<key>[-:\w]+)/$", allauth.confirm_email, name="account_confirm_email"),
    path("email/", RedirectView.as_view(pattern_name="accounts:settings"), name="account_email"),
    path("password/change/", password, name="account_change_password"),
    path("password/set/", password, name="account_set_password"),
    path("password/reset/", allauth.password_reset, name="account_reset_password"),
    path("password/reset/done/", allauth.password_reset_done, name="account_reset_password_done"),
    path("password/reset/key/done/", allauth.password_reset_from_key_done, name="account_reset_password_from_key_done"),
    re_path(
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        allauth.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
]

handler400 = "phonebank.whatsappapi.api.framework.bad_request"
handler403 = "phonebank.whatsappapi.api.framework.permission_denied"
handler404 = "phonebank.whatsappapi.api.framework.page_not_found"
handler500 = "phonebank.whatsappapi.api.framework.server_error"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="whatsappapi:dashboard"), name="home"),
    # Asked for by browsers that show no page of ours, such as one that opens a download.
    path("favicon.ico", login_not_required(RedirectView.as_view(url=static("whatsappapi/favicon.svg")))),
    path("whatsappapi/", include("phonebank.whatsappapi.urls")),
    path("accounts/", include("phonebank.accounts.urls")),
    path("accounts/", include(account_pages)),
    path("accounts/", include("phonebank.accounts.mfa_urls")),
    path("link/<str:token>/", phone_link, name="phone_link"),
    path("audit/", include("phonebank.audit.urls")),
    path("metrics", prometheus, name="metrics"),
    path("healthz", live, name="healthz"),
    path("readyz", ready, name="readyz"),
    path("api/", include("phonebank.whatsappapi.api.urls")),
]
