"""Contacts, consent and opt-outs in breadth: tags, imports, a ledger that only grows."""

import uuid

import django.contrib.postgres.fields
import django.contrib.postgres.functions
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import phonebank.whatsappapi.models.fields

# Evidence is added, never changed. Two things may happen to it: whoever wrote it down leaves (their name goes), and the
# person is erased (or the owner, with all they have), which the transaction has to say.
LEDGER = """
CREATE FUNCTION phonebank_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' AND current_setting('phonebank.erasing', true) = 'on' THEN
    RETURN OLD;
  END IF;
  IF TG_OP = 'UPDATE' AND NEW.recorded_by_id IS NULL THEN
    NEW.recorded_by_id := OLD.recorded_by_id;
    IF NEW = OLD THEN
      NEW.recorded_by_id := NULL;
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION 'The consent ledger only grows' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER consent_ledger BEFORE UPDATE OR DELETE ON whatsappapi_consentrecord
FOR EACH ROW EXECUTE FUNCTION phonebank_ledger();
"""
NO_LEDGER = """
DROP TRIGGER consent_ledger ON whatsappapi_consentrecord;
DROP FUNCTION phonebank_ledger();
"""

# A list is read by contact, in chunks: one index by both instead of the one that Django made by list alone.
LIST_PLACE = """
CREATE INDEX contact_list_place ON whatsappapi_contact_lists (contactlist_id, contact_id);
DO $$
DECLARE one text;
BEGIN
  FOR one IN
    SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = 'whatsappapi_contact_lists'::regclass AND i.indnatts = 1 AND NOT i.indisunique
      AND i.indkey[0] = (SELECT attnum FROM pg_attribute
                         WHERE attrelid = i.indrelid AND attname = 'contactlist_id')
  LOOP
    EXECUTE format('DROP INDEX %I', one);
  END LOOP;
END $$;
"""
NO_LIST_PLACE = """
CREATE INDEX ON whatsappapi_contact_lists (contactlist_id);
DROP INDEX contact_list_place;
"""


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("whatsappapi", "0007_api"),
    ]

    operations = [
        migrations.CreateModel(
            name="ContactImport",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "what",
                    models.CharField(
                        choices=[("people", "people"), ("suppressed", "numbers not to be written to")],
                        default="people",
                        max_length=10,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("draft", "needs its columns"),
                            ("waiting", "waiting for its turn"),
                            ("running", "running"),
                            ("checked", "checked, nothing imported yet"),
                            ("done", "finished"),
                            ("failed", "could not be imported"),
                            ("cancelled", "stopped"),
                        ],
                        default="draft",
                        max_length=10,
                    ),
                ),
                ("error", models.CharField(blank=True, default="", max_length=400)),
                ("filename", models.CharField(max_length=100)),
                ("file_hash", models.CharField(help_text="SHA-256 of the file as it was uploaded", max_length=64)),
                ("rows_in_file", models.BigIntegerField(help_text="Below the header, blank ones left out")),
                (
                    "first_line",
                    models.IntegerField(default=1, help_text="Of a workbook: the row that its header stands in"),
                ),
                ("sheet", models.CharField(blank=True, default="", help_text="Of a workbook", max_length=60)),
                ("encoding", models.CharField(max_length=20)),
                ("delimiter", models.CharField(max_length=1)),
                ("headers", models.JSONField(default=list)),
                ("sample", models.JSONField(default=list, help_text="The first rows, for the preview")),
                (
                    "columns",
                    models.JSONField(default=dict, help_text="phone, name, consent: place of the column, or null"),
                ),
                ("country", models.CharField(blank=True, default="", max_length=2)),
                ("list_name", models.CharField(blank=True, default="", max_length=80)),
                (
                    "tags",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=40), blank=True, default=list, size=None
                    ),
                ),
                ("consent_source", models.CharField(blank=True, default="", max_length=200)),
                ("consent_wording", models.TextField(blank=True, default="")),
                (
                    "is_declared",
                    models.BooleanField(default=False, help_text="Somebody ticked that all of them agreed"),
                ),
                ("is_dry_run", models.BooleanField(default=False)),
                ("cursor", models.BigIntegerField(default=0, help_text="Rows read")),
                ("total", models.BigIntegerField(default=0)),
                ("new", models.BigIntegerField(default=0)),
                ("known", models.BigIntegerField(default=0)),
                ("duplicate", models.BigIntegerField(default=0)),
                ("invalid", models.BigIntegerField(default=0)),
                (
                    "erased",
                    models.BigIntegerField(default=0, help_text="Rows of people who had themselves erased: not stored"),
                ),
                ("no_consent", models.BigIntegerField(default=0)),
                ("suppressed", models.BigIntegerField(default=0)),
                ("reported", models.BigIntegerField(default=0, help_text="Rows kept in the report")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name="ContactTag",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=40)),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="DigestKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", phonebank.whatsappapi.models.fields.EncryptedTextField()),
            ],
        ),
        migrations.CreateModel(
            name="ImportNumber",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "upload_id", "phone", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "upload",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="whatsappapi.contactimport",
                    ),
                ),
                ("phone", models.CharField(max_length=20)),
                ("line", models.BigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="ImportPart",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.IntegerField()),
                ("data", models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name="ImportRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("line", models.BigIntegerField()),
                (
                    "verdict",
                    models.CharField(
                        choices=[
                            ("invalid", "not imported"),
                            ("duplicate", "twice in the file"),
                            ("erased", "not imported: was erased"),
                            ("suppressed", "imported, must not be written to"),
                            ("no_consent", "imported, without consent"),
                        ],
                        max_length=10,
                    ),
                ),
                ("reason", models.CharField(max_length=200)),
                ("cells", models.JSONField(default=list)),
            ],
        ),
        migrations.AddField(
            model_name="consentrecord",
            name="agreed_at",
            field=models.DateTimeField(blank=True, help_text="When they did it, where that is known", null=True),
        ),
        migrations.AddField(
            model_name="suppression",
            name="added_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="suppression",
            name="digest",
            field=models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
        migrations.AddField(
            model_name="suppression",
            name="lifted_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="suppression",
            name="public_id",
            field=models.UUIDField(
                db_default=django.contrib.postgres.functions.RandomUUID(),
                default=uuid.uuid4,
                editable=False,
                unique=True,
            ),
        ),
        migrations.AddField(
            model_name="suppression",
            name="words",
            field=models.CharField(blank=True, db_default="", default="", help_text="What they wrote", max_length=500),
        ),
        migrations.AlterField(
            model_name="consentrecord",
            name="file_hash",
            field=models.CharField(blank=True, default="", help_text="SHA-256 of the file it came in", max_length=64),
        ),
        migrations.AlterField(
            model_name="consentrecord",
            name="wording",
            field=models.TextField(blank=True, default="", help_text="What they agreed to, word for word"),
        ),
        migrations.AlterField(
            model_name="contact",
            name="user",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="contacts",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AlterField(
            model_name="suppression",
            name="reason",
            field=models.CharField(
                choices=[
                    ("stop", "asked to stop"),
                    ("manual", "added by hand"),
                    ("import", "on an imported list"),
                    ("complaint", "complained"),
                    ("review", "may have asked to stop"),
                    ("erased", "was erased"),
                ],
                default="stop",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="suppression",
            name="user",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="suppressions",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddIndex(
            model_name="suppression",
            index=models.Index(fields=["user", "id"], name="suppression_recent"),
        ),
        migrations.AddIndex(
            model_name="suppression",
            index=models.Index(
                condition=models.Q(("digest", ""), _negated=True), fields=["user", "digest"], name="suppression_digest"
            ),
        ),
        migrations.AddIndex(
            model_name="suppression",
            index=models.Index(
                condition=models.Q(("lifted_at", None), ("reason", "review")),
                fields=["user", "id"],
                name="suppression_review",
            ),
        ),
        migrations.AddField(
            model_name="contactimport",
            name="contact_list",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="whatsappapi.contactlist",
            ),
        ),
        migrations.AddField(
            model_name="contactimport",
            name="user",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="contact_imports",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="contacttag",
            name="user",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="contact_tags",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="contact",
            name="tags",
            field=models.ManyToManyField(blank=True, related_name="contacts", to="whatsappapi.contacttag"),
        ),
        migrations.AddIndex(
            model_name="contact",
            index=models.Index(fields=["user", "id"], name="contact_recent"),
        ),
        migrations.AddField(
            model_name="digestkey",
            name="user",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="importpart",
            name="upload",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="parts",
                to="whatsappapi.contactimport",
            ),
        ),
        migrations.AddField(
            model_name="importrow",
            name="upload",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="rows",
                to="whatsappapi.contactimport",
            ),
        ),
        migrations.AddIndex(
            model_name="contactimport",
            index=models.Index(fields=["user", "-id"], name="import_recent"),
        ),
        migrations.AddIndex(
            model_name="contactimport",
            index=models.Index(
                condition=models.Q(("state__in", ["waiting", "running"])), fields=["id"], name="import_live"
            ),
        ),
        migrations.AddConstraint(
            model_name="contacttag",
            constraint=models.UniqueConstraint(fields=("user", "name"), name="tag_name_once_per_user"),
        ),
        migrations.AddConstraint(
            model_name="importpart",
            constraint=models.UniqueConstraint(fields=("upload", "number"), name="import_part_once"),
        ),
        migrations.AddIndex(
            model_name="importrow",
            index=models.Index(fields=["upload", "id"], name="import_row_place"),
        ),
        migrations.RunSQL(LEDGER, NO_LEDGER),
        migrations.RunSQL(LIST_PLACE, NO_LIST_PLACE),
    ]
