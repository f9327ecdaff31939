"""People and plans for administrators. A plan is changed on the person's page, in their subscription."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse

from phonebank.accounts.models import Plan, Subscription, User
from phonebank.audit.models import record


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


class Recorded(admin.ModelAdmin):
    """Writes what an administrator does here to the audit log: fields of `told` with before and after, others by name.

    `noun` begins the verbs. The administration site saves in one transaction, so act and record stand or fall together.
    """

    noun = ""
    told: tuple[str, ...] = ()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            self.note(request, obj, "created")
        elif form.changed_data:
            changes = {name: (form.initial.get(name), form.cleaned_data[name])
                       for name in form.changed_data if name in self.told}  # fmt: skip
            others = [name for name in form.changed_data if name not in self.told]
            self.note(request, obj, "changed", changes, **({"also_changed": others} if others else {}))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.note(request, obj, "deleted")
        super().delete_model(request, obj)

    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for one in queryset:
            self.note(request, one, "deleted")
        super().delete_queryset(request, queryset)

    def note(
        self, request: HttpRequest, obj: Model, act: str, changes: dict[str, Any] | None = None, **facts: Any
    ) -> None:
        owner = obj if isinstance(obj, User) else None
        record(actor=request.user, verb=f"{self.noun}.{act}", target=obj, owner=owner, changes=changes, **facts)


class SubscriptionInline(admin.StackedInline):
    model = Subscription
    can_delete = False
    readonly_fields = ["started_at"]


@admin.register(User)
class UserAdmin(Recorded, DjangoUserAdmin):
    noun = "user"
    told = ("is_active", "is_staff", "is_superuser", "time_zone", "locale")
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

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """The inline one: the person's plan."""
        before = dict(Plan.objects.values_list("pk", "name"))
        super().save_formset(request, form, formset, change)
        for row, fields in formset.changed_objects:
            if "plan" in fields:
                old = before.get(formset.forms[0].initial.get("plan"))
                self.note(request, row.user, "plan_changed", {"plan": (old, row.plan.name)})

    @transaction.atomic
    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        person = self.get_object(request, id)
        before = person and person.password
        response = super().user_change_password(request, id, form_url)
        if person and User.objects.filter(pk=person.pk).exclude(password=before).exists():
            self.note(request, person, "password_replaced")
        return response


@admin.register(Plan)
class PlanAdmin(Recorded):
    noun = "plan"
    told = ("name", "slug", "max_sessions", "daily_limit", "position")
    list_display = ["name", "slug", "max_sessions", "daily_limit", "position"]
