"""People and plans for administrators. A plan is changed on the person's page, in their subscription."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.http import HttpRequest

from phonebank.accounts.models import Plan, Subscription, User


class AddUserForm(AdminUserCreationForm):
    class Meta:
        model = User
        fields = ("email",)

    def clean_email(self) -> str:
        return _free_address(self.cleaned_data["email"], self.instance)


class EditUserForm(UserChangeForm):
    class Meta:
        model = User
        fields = "__all__"

    def clean_email(self) -> str:
        return _free_address(self.cleaned_data["email"], self.instance)


def _free_address(email: str, user: User) -> str:
    """Addresses differ by more than case."""
    if User.objects.filter(email__iexact=email).exclude(pk=user.pk).exists():
        raise forms.ValidationError("Somebody already has an account with this address.")
    return email.lower()


class SubscriptionInline(admin.StackedInline):
    model = Subscription
    can_delete = False
    readonly_fields = ["started_at"]


@admin.register(User)
class UserAdmin(DjangoUserAdmin):
    add_form = AddUserForm
    form = EditUserForm
    ordering = ["email"]
    list_display = ["email", "name", "plan", "is_staff", "is_active", "date_joined"]
    list_filter = ["is_staff", "is_active", "subscription__plan"]
    list_select_related = ["subscription__plan"]
    search_fields = ["email", "name"]
    readonly_fields = ["public_id", "last_login", "date_joined"]
    fieldsets = [
        (None, {"fields": ["email", "password", "name", "time_zone", "locale", "public_id"]}),
        ("Rights", {"fields": ["is_active", "is_staff", "is_superuser", "groups", "user_permissions"]}),
        ("Dates", {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [(None, {"fields": ["email", "usable_password", "password1", "password2"]})]

    def get_inlines(self, request: HttpRequest, obj: User | None) -> list[type[admin.StackedInline]]:
        """Not on the add page: the new user's subscription is made with them."""
        return [SubscriptionInline] if obj else []

    @admin.display(description="plan", ordering="subscription__plan__position")
    def plan(self, user: User) -> str:
        return user.subscription.plan.name

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """An address that an administrator sets replaces the old one: it must not keep logging in."""
        super().save_model(request, obj, form, change)
        if "email" in form.changed_data:
            EmailAddress.objects.filter(user=obj).delete()
            EmailAddress.objects.create(user=obj, email=obj.email, primary=True, verified=True)


@admin.register(Plan)
class PlanAdmin(admin.ModelAdmin):
    list_display = ["name", "slug", "max_sessions", "daily_limit", "position"]
