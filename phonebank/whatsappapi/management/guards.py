"""Guards of a drill: triggers in its throw-away database that note what must not be, at the instant it is.

They see every transaction of every process, also what a later one would have put right again.
"""

from __future__ import annotations

from django.db import connection

# From one state to another as docs/send-path.md 1 draws it.
MOVES = {
    "queued": "sending skipped cancelled expired failed",
    "sending": "accepted queued failed unknown",
    "unknown": "accepted queued failed uncertain",
    "uncertain": "accepted queued",
    "accepted": "failed",
    "failed": "accepted",
    "skipped": "",
    "cancelled": "",
    "expired": "",
}

GUARDS = """
CREATE TABLE drill_broken (
  at timestamptz NOT NULL DEFAULT clock_timestamp(), rule text NOT NULL, what text NOT NULL
);
CREATE FUNCTION drill_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO drill_broken (rule, what) VALUES (TG_ARGV[0], left(row_to_json(NEW)::text, 300));
  RETURN NULL;
END $$;

CREATE TRIGGER drill_rank AFTER UPDATE ON whatsappapi_message
  FOR EACH ROW WHEN (NEW.rank < OLD.rank) EXECUTE FUNCTION drill_note('I7 rank');

CREATE FUNCTION drill_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT (%(moves)s::jsonb -> OLD.state) ? NEW.state THEN
    INSERT INTO drill_broken (rule, what) VALUES ('states', NEW.id || ': ' || OLD.state || ' to ' || NEW.state);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER drill_move AFTER UPDATE ON whatsappapi_message
  FOR EACH ROW WHEN (NEW.state <> OLD.state) EXECUTE FUNCTION drill_move();

CREATE FUNCTION drill_limit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE most int;
BEGIN
  SELECT least(NEW.daily_limit, p.daily_limit) INTO most
  FROM accounts_subscription b JOIN accounts_plan p ON p.id = b.plan_id WHERE b.user_id = NEW.user_id;
  IF NEW.messages_sent_today > most THEN
    INSERT INTO drill_broken (rule, what)
    VALUES ('I3 limit', NEW.id || ': ' || NEW.messages_sent_today || ' of ' || most);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER drill_limit AFTER UPDATE OF messages_sent_today ON whatsappapi_wasendersession
  FOR EACH ROW WHEN (NEW.messages_sent_today > OLD.messages_sent_today) EXECUTE FUNCTION drill_limit();

CREATE FUNCTION drill_claim() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE s record; n int;
BEGIN
  SELECT x.key_version, x.user_id = m.user_id AND x.is_active AND x.deleted_at IS NULL AND u.is_active AS usable
  INTO s FROM whatsappapi_wasendersession x JOIN accounts_user u ON u.id = x.user_id
  JOIN whatsappapi_message m ON m.id = NEW.message_id WHERE x.id = NEW.session_id;
  IF s.usable IS NOT TRUE OR s.key_version <> NEW.key_version THEN
    INSERT INTO drill_broken (rule, what) VALUES ('I8 right', NEW.session_id || ' under key ' || NEW.key_version);
  END IF;
  SELECT count(*) INTO n FROM whatsappapi_attempt WHERE session_id = NEW.session_id AND finished_at IS NULL;
  IF n > %(in_flight)s THEN
    INSERT INTO drill_broken (rule, what) VALUES ('I11 in flight', NEW.session_id || ': ' || n);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER drill_claim AFTER INSERT ON whatsappapi_attempt
  FOR EACH ROW EXECUTE FUNCTION drill_claim();

CREATE FUNCTION drill_completed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM whatsappapi_message
             WHERE campaign_id = NEW.id AND state IN ('queued', 'sending', 'unknown')) THEN
    INSERT INTO drill_broken (rule, what) VALUES ('I12 completed', NEW.id::text);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER drill_completed AFTER UPDATE ON whatsappapi_campaign
  FOR EACH ROW WHEN (NEW.state = 'completed' AND OLD.state <> 'completed') EXECUTE FUNCTION drill_completed();
"""


def install(in_flight: int) -> None:
    """Puts the guards up, once, in a database that is thrown away."""
    import json

    moves = json.dumps({state: after.split() for state, after in MOVES.items()})
    with connection.cursor() as cursor:
        cursor.execute(GUARDS % {"moves": f"'{moves}'", "in_flight": in_flight})


def noted() -> dict[str, list[str]]:
    """What the guards saw, by rule."""
    found: dict[str, list[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute("SELECT rule, what FROM drill_broken ORDER BY at")
        for rule, what in cursor.fetchall():
            found.setdefault(rule, []).append(what)
    return found


def forget() -> None:
    """Begins anew: what follows is another run."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE drill_broken")
