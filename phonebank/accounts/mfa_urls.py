"""allauth's pages of the second factor, one by one: what is not listed does not exist. The names are allauth's own."""

from __future__ import annotations

from allauth.account.views import ReauthenticateView
from allauth.mfa.base import views as base
from allauth.mfa.recovery_codes import views as codes
from allauth.mfa.totp import views as totp
from django.urls import URLPattern, path
from django.views import View

from phonebank.accounts.views import reading_factor, second_factor


def _page(route: str, view: type[View], name: str) -> URLPattern:
    return path(route, reading_factor(view.as_view(extra_context={"nav": "settings"})), name=name)


urlpatterns = [
    _page("reauthenticate/", ReauthenticateView, "account_reauthenticate"),
    _page("mfa/", base.IndexView, "mfa_index"),
    path("mfa/authenticate/", second_factor, name="mfa_authenticate"),
    _page("mfa/reauthenticate/", base.ReauthenticateView, "mfa_reauthenticate"),
    _page("mfa/totp/activate/", totp.ActivateTOTPView, "mfa_activate_totp"),
    _page("mfa/totp/deactivate/", totp.DeactivateTOTPView, "mfa_deactivate_totp"),
    _page("mfa/recovery-codes/", codes.ViewRecoveryCodesView, "mfa_view_recovery_codes"),
    _page("mfa/recovery-codes/generate/", codes.GenerateRecoveryCodesView, "mfa_generate_recovery_codes"),
]
