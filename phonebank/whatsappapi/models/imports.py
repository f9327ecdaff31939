"""Imports of people or of opt-outs: the file, how far it was read, and what became of its rows."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from phonebank.accounts.models import User
from phonebank.whatsappapi.models.contacts import ContactList, OwnedQuerySet


class ContactImport(models.Model):
    """One uploaded file. `total` rows are `new` + `known` + `duplicate` + `invalid` + `erased`; of `new` and `known`
    ones, `no_consent` and `suppressed` cannot be written to."""

    class What(models.TextChoices):
        PEOPLE = "people", _("people")
        SUPPRESSIONS = "suppressed", _("numbers not to be written to")

    class State(models.TextChoices):
        DRAFT = "draft", _("needs its columns")
        WAITING = "waiting", _("waiting for its turn")
        RUNNING = "running", _("running")
        CHECKED = "checked", _("checked, nothing imported yet")
        DONE = "done", _("finished")
        FAILED = "failed", _("could not be imported")
        CANCELLED = "cancelled", _("stopped")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="contact_imports", db_index=False)
    what = models.CharField(max_length=10, choices=What.choices, default=What.PEOPLE)
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    error = models.CharField(max_length=400, blank=True, default="")

    filename = models.CharField(max_length=100)
    file_hash = models.CharField(max_length=64, help_text="SHA-256 of the file as it was uploaded")
    rows_in_file = models.BigIntegerField(help_text="Below the header, blank ones left out")
    first_line = models.IntegerField(default=1, help_text="Of a workbook: the row that its header stands in")
    sheet = models.CharField(max_length=60, blank=True, default="", help_text="Of a workbook")
    encoding = models.CharField(max_length=20)
    delimiter = models.CharField(max_length=1)
    headers = models.JSONField(default=list)
    sample = models.JSONField(default=list, help_text="The first rows, for the preview")

    columns = models.JSONField(default=dict, help_text="phone, name, consent: place of the column, or null")
    country = models.CharField(max_length=2, blank=True, default="")
    list_name = models.CharField(max_length=80, blank=True, default="")
    contact_list = models.ForeignKey(
        ContactList, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    tags = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    consent_source = models.CharField(max_length=200, blank=True, default="")
    consent_wording = models.TextField(blank=True, default="")
    is_declared = models.BooleanField(default=False, help_text="Somebody ticked that all of them agreed")
    is_dry_run = models.BooleanField(default=False)

    # The place, so that a killed import goes on where it stopped.
    cursor = models.BigIntegerField(default=0, help_text="Rows read")
    total = models.BigIntegerField(default=0)
    new = models.BigIntegerField(default=0)
    known = models.BigIntegerField(default=0)
    duplicate = models.BigIntegerField(default=0)
    invalid = models.BigIntegerField(default=0)
    erased = models.BigIntegerField(default=0, help_text="Rows of people who had themselves erased: not stored")
    no_consent = models.BigIntegerField(default=0)
    suppressed = models.BigIntegerField(default=0)
    reported = models.BigIntegerField(default=0, help_text="Rows kept in the report")

    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["user", "-id"], name="import_recent"),
            models.Index(fields=["id"], name="import_live", condition=models.Q(state__in=["waiting", "running"])),
        ]

    def __str__(self) -> str:
        return self.filename

    @property
    def valid(self) -> int:
        return self.new + self.known

    @property
    def percent(self) -> int:
        """Rounded down: 100 means read to its end."""
        return min(100, 100 * self.cursor // self.rows_in_file) if self.rows_in_file else 100


class ImportPart(models.Model):
    """A piece of the file, in its order. In the database, so that a worker on any machine can read it."""

    upload = models.ForeignKey(ContactImport, on_delete=models.CASCADE, related_name="parts", db_index=False)
    number = models.IntegerField()
    data = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["upload", "number"], name="import_part_once")]

    def __str__(self) -> str:
        return f"part {self.number}"


class ImportNumber(models.Model):
    """A number that this import has met, and where first: the next row with it is a duplicate."""

    pk = models.CompositePrimaryKey("upload_id", "phone")
    upload = models.ForeignKey(ContactImport, on_delete=models.CASCADE, related_name="+", db_index=False)
    phone = models.CharField(max_length=20)
    line = models.BigIntegerField()

    def __str__(self) -> str:
        return f"line {self.line}"


class ImportRow(models.Model):
    """A row that somebody should look at, as it stood in the file."""

    class Verdict(models.TextChoices):
        INVALID = "invalid", _("not imported")
        DUPLICATE = "duplicate", _("twice in the file")
        ERASED = "erased", _("not imported: was erased")
        SUPPRESSED = "suppressed", _("imported, must not be written to")
        NO_CONSENT = "no_consent", _("imported, without consent")

    upload = models.ForeignKey(ContactImport, on_delete=models.CASCADE, related_name="rows", db_index=False)
    line = models.BigIntegerField()
    verdict = models.CharField(max_length=10, choices=Verdict.choices)
    reason = models.CharField(max_length=200)
    cells = models.JSONField(default=list)

    class Meta:
        indexes = [models.Index(fields=["upload", "id"], name="import_row_place")]

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"
