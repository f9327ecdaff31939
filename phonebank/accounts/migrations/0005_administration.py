from __future__ import annotations

from django.db import migrations, models

# Whatever takes the rights of an administrator away waits in line here, and the last one's stay. A trigger, not a
# service alone: it holds for every way in, and each look sees what the one before it committed.
KEEP_ONE = """
CREATE FUNCTION accounts_keep_an_administrator() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.is_superuser AND OLD.is_active AND (TG_OP = 'DELETE' OR NOT (NEW.is_superuser AND NEW.is_active)) THEN
    PERFORM pg_advisory_xact_lock(1347557121);
    IF NOT EXISTS (SELECT 1 FROM accounts_user WHERE is_superuser AND is_active AND id <> OLD.id) THEN
      RAISE EXCEPTION 'The last administrator stays.'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'last_administrator';
    END IF;
  END IF;
  IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER keep_an_administrator BEFORE DELETE OR UPDATE OF is_superuser, is_active ON accounts_user
FOR EACH ROW EXECUTE FUNCTION accounts_keep_an_administrator();
"""
DROP = """
DROP TRIGGER keep_an_administrator ON accounts_user;
DROP FUNCTION accounts_keep_an_administrator();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_api_tokens")]

    operations = [
        migrations.AddField(
            "subscription",
            "expires_at",
            models.DateTimeField(
                blank=True, help_text="Then the person goes on with DEFAULT_PLAN; empty: never", null=True
            ),
        ),
        migrations.AddField("subscription", "warned_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddIndex(
            "subscription",
            models.Index(condition=models.Q(expires_at__isnull=False), fields=["expires_at"], name="subscription_ends"),
        ),
        migrations.RunSQL(KEEP_ONE, DROP),
    ]
