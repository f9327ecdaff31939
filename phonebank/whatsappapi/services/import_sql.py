"""The statements of an import: as many for one person as for ten thousand. Rows wait in the temporary `import_row`."""

from __future__ import annotations

STAGE = """
CREATE TEMPORARY TABLE import_row (line bigint, phone text, name text, attributes jsonb, time_zone text, source text)
ON COMMIT DROP
"""
UNSTAGE = "DROP TABLE import_person, import_row"  # the caller's transaction may import again
STAGED = "COPY import_row (line, phone, name, attributes, time_zone, source) FROM STDIN"

# The first row of each number. A refusal counts for the consent of who is new; one under review has not refused yet.
PEOPLE = """
CREATE TEMPORARY TABLE import_person ON COMMIT DROP AS
SELECT DISTINCT ON (r.phone) r.*,
  EXISTS (SELECT 1 FROM whatsappapi_suppression s
          WHERE s.user_id = %s AND s.phone = r.phone AND s.lifted_at IS NULL) AS is_suppressed,
  EXISTS (SELECT 1 FROM whatsappapi_suppression s
          WHERE s.user_id = %s AND s.phone = r.phone AND s.lifted_at IS NULL AND s.reason <> 'review') AS has_refused
FROM import_row r ORDER BY r.phone, r.line
"""
ANALYZE = "ANALYZE import_row, import_person"

DUPLICATES = """
SELECT r.line, r.phone, p.line FROM import_row r JOIN import_person p ON p.phone = r.phone AND p.line <> r.line
ORDER BY r.line LIMIT %s
"""

# Who was met in an earlier chunk is a duplicate of that row.
MEET = """
WITH met AS (
  INSERT INTO whatsappapi_importnumber (upload_id, phone, line)
  SELECT %(upload)s, phone, min(line) FROM import_row GROUP BY phone ORDER BY phone
  ON CONFLICT DO NOTHING RETURNING phone, line
), gone AS (
  DELETE FROM import_row r WHERE NOT EXISTS (SELECT 1 FROM met WHERE met.phone = r.phone AND met.line = r.line)
  RETURNING r.line, r.phone
)
SELECT gone.line, coalesce(met.line, n.line) FROM gone
LEFT JOIN met ON met.phone = gone.phone
LEFT JOIN whatsappapi_importnumber n ON n.upload_id = %(upload)s AND n.phone = gone.phone
ORDER BY 1
"""

_WRITE = """
WITH up AS (
  INSERT INTO whatsappapi_contact AS c
    (public_id, user_id, phone, name, attributes, lid, time_zone, consent, created_at)
  SELECT gen_random_uuid(), %(user)s, phone, name, attributes, '', time_zone,
    CASE WHEN has_refused THEN 'withdrawn' WHEN source <> '' THEN 'granted' ELSE 'unknown' END, now()
  FROM import_person ORDER BY phone
  ON CONFLICT (user_id, phone) DO UPDATE SET
    name = CASE WHEN excluded.name <> '' THEN excluded.name ELSE c.name END,
    attributes = c.attributes || excluded.attributes,
    time_zone = excluded.time_zone,
    consent = CASE WHEN c.consent = 'withdrawn' OR excluded.consent = 'unknown' THEN c.consent ELSE excluded.consent END
  RETURNING c.id, c.phone, c.consent, xmax = 0 AS is_new
), listed AS (
  INSERT INTO whatsappapi_contact_lists (contact_id, contactlist_id)
  SELECT id, %(list)s FROM up WHERE %(list)s::bigint IS NOT NULL ON CONFLICT DO NOTHING
), tagged AS (
  INSERT INTO whatsappapi_contact_tags (contact_id, contacttag_id)
  SELECT up.id, t.id FROM up CROSS JOIN unnest(%(tags)s::bigint[]) AS t(id) ON CONFLICT DO NOTHING
), evidence AS (
  INSERT INTO whatsappapi_consentrecord
    (user_id, contact_id, status, source, wording, file_hash, recorded_by_id, recorded_at)
  SELECT %(user)s, up.id, 'granted', p.source, %(wording)s, %(hash)s, %(actor)s, now()
  FROM up JOIN import_person p ON p.phone = up.phone
  -- OFFSET 0: looked up person by person. Joined, all that the file brought so far would be gone through for each.
  WHERE up.consent = 'granted' AND p.source <> '' AND (up.is_new OR NOT EXISTS (
    SELECT 1 FROM whatsappapi_consentrecord x
    WHERE x.contact_id = up.id AND x.file_hash = %(hash)s AND x.source = p.source OFFSET 0))
), seen AS (
  SELECT p.line, up.is_new, up.consent, p.is_suppressed FROM up JOIN import_person p ON p.phone = up.phone
)
"""
# What a dry run says they would become.
_LOOK = """
WITH seen AS (
  SELECT p.line, c.id IS NULL AS is_new, p.is_suppressed,
    CASE WHEN p.has_refused OR c.consent = 'withdrawn' THEN 'withdrawn' WHEN p.source <> '' THEN 'granted'
         ELSE coalesce(c.consent, 'unknown') END AS consent
  FROM import_person p LEFT JOIN whatsappapi_contact c ON c.user_id = %(user)s AND c.phone = p.phone
)
"""
_SUMMARY = """
SELECT count(*), count(*) FILTER (WHERE is_new),
  coalesce(array_agg(line ORDER BY line) FILTER (WHERE consent = 'unknown' AND NOT is_suppressed), '{}'),
  coalesce(array_agg(line ORDER BY line) FILTER (WHERE consent = 'withdrawn' OR is_suppressed), '{}')
FROM seen
"""
WRITE = _WRITE + _SUMMARY
LOOK = _LOOK + _SUMMARY

# Numbers not to be written to. Contacts among them take their consent back.
SUPPRESS = """
WITH up AS (
  INSERT INTO whatsappapi_suppression (user_id, phone, lid, reason, note, created_at, added_by_id, is_confirmed)
  SELECT %(user)s, phone, '', 'import', %(note)s, now(), %(actor)s, false FROM import_person ORDER BY phone
  ON CONFLICT DO NOTHING RETURNING phone
), k AS (
  SELECT c.id FROM whatsappapi_contact c JOIN import_person p ON p.phone = c.phone
  WHERE c.user_id = %(user)s AND c.consent <> 'withdrawn' ORDER BY c.phone FOR NO KEY UPDATE OF c
), withdrawn AS (
  UPDATE whatsappapi_contact c SET consent = 'withdrawn' FROM k WHERE c.id = k.id RETURNING c.id
), evidence AS (
  INSERT INTO whatsappapi_consentrecord
    (user_id, contact_id, status, source, wording, file_hash, recorded_by_id, recorded_at)
  SELECT %(user)s, id, 'withdrawn', %(note)s, '', %(hash)s, %(actor)s, now() FROM withdrawn
)
SELECT count(*), (SELECT count(*) FROM up), '{}'::bigint[], '{}'::bigint[] FROM import_person
"""
SUPPRESS_LOOK = """
SELECT count(*), count(*) FILTER (WHERE NOT is_suppressed), '{}'::bigint[], '{}'::bigint[] FROM import_person
"""
# Under review before, on a list of refusals now: nothing is left to decide.
DECIDE = """
UPDATE whatsappapi_suppression s SET reason = 'import', note = %(note)s, added_by_id = %(actor)s
FROM import_person p WHERE s.user_id = %(user)s AND s.phone = p.phone AND s.lifted_at IS NULL AND s.reason = 'review'
"""

WAITING = """
SELECT DISTINCT m.phone FROM whatsappapi_importnumber n
JOIN whatsappapi_message m ON m.user_id = %(user)s AND m.phone = n.phone
WHERE n.upload_id = %(upload)s AND m.state = 'queued'
"""
