from __future__ import annotations

from django.db import migrations

# What was recorded before the chain began is sealed as it stands.
TAKE_IN = """
UPDATE audit_event e SET
  actor_ref = (SELECT u.public_id FROM accounts_user u WHERE u.id = e.actor_id),
  owner_ref = (SELECT u.public_id FROM accounts_user u WHERE u.id = e.owner_id);
INSERT INTO audit_seal (event_id) SELECT id FROM audit_event;
"""

# The guard is against mistakes and ordinary SQL; against who may switch it off, the chain stands (docs/audit.md).
GUARD = """
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('phonebank.maintenance', true) = 'on' THEN
    RETURN NULL;
  END IF;
  RAISE EXCEPTION 'The audit log is append-only: % on % refused', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE FUNCTION audit_await_seal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO audit_seal (event_id) VALUES (NEW.id);
  RETURN NULL;
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event
  FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_await_seal AFTER INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION audit_await_seal();
CREATE TRIGGER audit_keep_seals BEFORE DELETE OR TRUNCATE ON audit_seal
  FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_sealed_once AFTER UPDATE ON audit_seal
  FOR EACH ROW WHEN (OLD.position IS NOT NULL) EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_keep_head BEFORE DELETE OR TRUNCATE ON audit_head
  FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
"""
UNGUARD = """
DROP TRIGGER audit_append_only ON audit_event;
DROP TRIGGER audit_await_seal ON audit_event;
DROP TRIGGER audit_keep_seals ON audit_seal;
DROP TRIGGER audit_sealed_once ON audit_seal;
DROP TRIGGER audit_keep_head ON audit_head;
DROP FUNCTION audit_refuse();
DROP FUNCTION audit_await_seal();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0002_chain"),
        ("accounts", "0001_initial"),
    ]

    operations = [
        migrations.RunSQL(TAKE_IN, migrations.RunSQL.noop),
        migrations.RunSQL(GUARD, UNGUARD),
    ]
