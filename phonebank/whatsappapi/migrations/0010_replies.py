"""Replies, what messages carry, and message templates."""

import uuid

import django.db.models.deletion
import django.db.models.functions.text
from django.conf import settings
from django.db import migrations, models

# Who wrote before conversations were kept; all of it counts as read.
CONVERSATIONS = """
SET CONSTRAINTS ALL IMMEDIATE;
INSERT INTO whatsappapi_conversation
  (public_id, user_id, session_id, contact_id, person, phone, lid, name, last_at, last_text, unread)
SELECT DISTINCT ON (session_id, coalesce(nullif(phone, ''), lid)) gen_random_uuid(), user_id, session_id, contact_id,
  coalesce(nullif(phone, ''), lid), phone, lid, name, coalesce(sent_at, received_at), left(text, 200), 0
FROM whatsappapi_inboundmessage WHERE phone <> '' OR lid <> ''
ORDER BY session_id, coalesce(nullif(phone, ''), lid), coalesce(sent_at, received_at) DESC;
UPDATE whatsappapi_inboundmessage m SET conversation_id = c.id FROM whatsappapi_conversation c
WHERE c.session_id = m.session_id AND c.person = coalesce(nullif(m.phone, ''), m.lid);
"""


class Migration(migrations.Migration):
    dependencies = [("whatsappapi", "0009_campaigns"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="MediaFile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("image", "Picture"),
                            ("video", "Video"),
                            ("document", "Document"),
                            ("audio", "Voice note"),
                        ],
                        max_length=8,
                    ),
                ),
                ("mime", models.CharField(max_length=100)),
                ("name", models.CharField(max_length=120)),
                ("size", models.PositiveIntegerField(help_text="Bytes")),
                ("digest", models.BinaryField(help_text="SHA-256", max_length=32)),
                ("content", models.BinaryField()),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("used_at", models.DateTimeField(auto_now_add=True, help_text="When it was last put into something")),
            ],
        ),
        migrations.CreateModel(
            name="MediaLink",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("base_url", models.URLField(help_text="The gateway")),
                ("url", models.CharField(max_length=2000)),
                ("uploaded_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="MessageTemplate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("name", models.CharField(max_length=80)),
                ("body", models.TextField(blank=True, default="", help_text="Merge tags: {{ name|there }}")),
                (
                    "media_kind",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("image", "Picture"),
                            ("video", "Video"),
                            ("document", "Document"),
                            ("audio", "Voice note"),
                        ],
                        default="",
                        max_length=8,
                    ),
                ),
                (
                    "media_url",
                    models.CharField(
                        blank=True, default="", help_text="An address, or file:<id> of ours", max_length=2000
                    ),
                ),
                ("media_name", models.CharField(blank=True, default="", max_length=120)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "ordering": [django.db.models.functions.text.Lower("name"), "pk"],
            },
        ),
        migrations.AddField(
            model_name="campaign",
            name="media_kind",
            field=models.CharField(
                blank=True,
                choices=[("image", "Picture"), ("video", "Video"), ("document", "Document"), ("audio", "Voice note")],
                default="",
                max_length=8,
            ),
        ),
        migrations.AddField(
            model_name="campaign",
            name="media_name",
            field=models.CharField(blank=True, default="", max_length=120),
        ),
        migrations.AddField(
            model_name="campaign",
            name="media_url",
            field=models.CharField(
                blank=True, default="", help_text="An address, or file:<id> of ours", max_length=2000
            ),
        ),
        migrations.AddField(
            model_name="inboundmessage",
            name="campaign",
            field=models.ForeignKey(
                db_index=False,
                help_text="What this session had last written to them",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="replies",
                to="whatsappapi.campaign",
            ),
        ),
        migrations.AddField(
            model_name="inboundmessage",
            name="media",
            field=models.CharField(
                blank=True, db_default="", help_text="What it carried; never fetched", max_length=10
            ),
        ),
        migrations.AddField(
            model_name="message",
            name="media",
            field=models.JSONField(help_text="Of single messages: kind, url, name", null=True),
        ),
        migrations.CreateModel(
            name="Conversation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("person", models.CharField(max_length=40)),
                (
                    "phone",
                    models.CharField(blank=True, db_default="", help_text="E.164; empty while unknown", max_length=20),
                ),
                ("lid", models.CharField(blank=True, db_default="", max_length=40)),
                (
                    "name",
                    models.CharField(blank=True, db_default="", help_text="As they call themselves", max_length=120),
                ),
                ("last_at", models.DateTimeField(help_text="When they last wrote")),
                ("last_text", models.CharField(blank=True, db_default="", max_length=200)),
                ("last_media", models.CharField(blank=True, db_default="", max_length=10)),
                ("unread", models.IntegerField(db_default=0)),
                (
                    "contact",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="conversations",
                        to="whatsappapi.contact",
                    ),
                ),
                (
                    "session",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="conversations",
                        to="whatsappapi.wasendersession",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="conversations",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="inboundmessage",
            name="conversation",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="messages",
                to="whatsappapi.conversation",
            ),
        ),
        migrations.AddIndex(
            model_name="inboundmessage",
            index=models.Index(fields=["conversation", "-id"], name="inbound_thread"),
        ),
        migrations.AddIndex(
            model_name="inboundmessage",
            index=models.Index(
                condition=models.Q(("campaign__isnull", False)), fields=["campaign"], name="inbound_campaign"
            ),
        ),
        migrations.AddIndex(
            model_name="inboundmessage",
            index=models.Index(fields=["user", "phone"], name="inbound_person"),
        ),
        migrations.AddField(
            model_name="mediafile",
            name="user",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="media_files",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="medialink",
            name="file",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="links", to="whatsappapi.mediafile"
            ),
        ),
        migrations.AddField(
            model_name="messagetemplate",
            name="user",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="message_templates",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddIndex(
            model_name="conversation",
            index=models.Index(fields=["user", "-last_at", "-id"], name="conversation_recent"),
        ),
        migrations.AddIndex(
            model_name="conversation",
            index=models.Index(
                condition=models.Q(("unread__gt", 0)), fields=["user", "-last_at", "-id"], name="conversation_unread"
            ),
        ),
        migrations.AddIndex(
            model_name="conversation",
            index=models.Index(fields=["session", "-last_at", "-id"], name="conversation_session"),
        ),
        migrations.AddConstraint(
            model_name="conversation",
            constraint=models.UniqueConstraint(fields=("session", "person"), name="conversation_once"),
        ),
        migrations.AddConstraint(
            model_name="mediafile",
            constraint=models.UniqueConstraint(fields=("user", "digest"), name="media_once_per_user"),
        ),
        migrations.AddConstraint(
            model_name="medialink",
            constraint=models.UniqueConstraint(fields=("file", "base_url"), name="media_link_once_per_gateway"),
        ),
        migrations.AddConstraint(
            model_name="messagetemplate",
            constraint=models.UniqueConstraint(
                models.F("user"), django.db.models.functions.text.Lower("name"), name="template_name_once_per_user"
            ),
        ),
        migrations.RunSQL(CONVERSATIONS, migrations.RunSQL.noop),
    ]
