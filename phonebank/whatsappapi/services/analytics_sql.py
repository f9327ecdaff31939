"""The statements that read what was counted. All of them read days and months, never messages."""

from __future__ import annotations

from phonebank.whatsappapi.models.analytics import BUCKETS, COUNTS

SUMMED = (*COUNTS, "up", "known", "allowed", "at_limit")
_SUMS = ", ".join(f"coalesce(sum(q.{name}), 0)::bigint AS {name}" for name in SUMMED)
_PLAIN = ", ".join(f"q.{name}" for name in SUMMED)


def _array(column: str, length: int) -> str:
    items = ", ".join(f"coalesce(sum(q.{column}[{i}]), 0)::bigint" for i in range(1, length + 1))
    return f"ARRAY[{items}] AS {column}"


# The days of one session, of all, or of the sessions named: one row a date.
DAYS_OF_SESSION = f"""
SELECT q.date, {_PLAIN} FROM whatsappapi_sessionday q
WHERE q.session_id = %(session)s AND q.date BETWEEN %(first)s AND %(last)s ORDER BY 1
"""
DAYS_OF_ALL = f"""
SELECT q.date, {_PLAIN} FROM whatsappapi_ownerday q
WHERE q.user_id = %(user)s AND q.date BETWEEN %(first)s AND %(last)s ORDER BY 1
"""
DAYS_OF_SOME = f"""
SELECT q.date, {_SUMS} FROM whatsappapi_sessionday q
WHERE q.session_id = ANY(%(sessions)s) AND q.date BETWEEN %(first)s AND %(last)s GROUP BY 1 ORDER BY 1
"""

# Whole months of the range as months, the rest of it as days.
_PARTS = """
  SELECT * FROM (
    SELECT {month} FROM whatsappapi_sessionmonth q
    WHERE {where} AND q.date >= %(months)s AND q.date < %(months_end)s
    UNION ALL
    SELECT {month} FROM whatsappapi_sessionday q
    WHERE {where} AND q.date BETWEEN %(first)s AND %(last)s
      AND NOT (q.date >= %(months)s AND q.date < %(months_end)s)
  ) p
"""
_ALL = "q.user_id = %(user)s"
_SOME = "q.session_id = ANY(%(sessions)s)"
_WIDE = "q.times, q.hours, q.hours_read, q.reasons, q.failed"

_SPREAD = f"""
SELECT {_array("times", BUCKETS)}, {_array("hours", 24)}, {_array("hours_read", 24)},
  (SELECT jsonb_object_agg(k, n) FROM (
     SELECT e.key AS k, sum(e.value::bigint) AS n FROM part q, jsonb_each_text(q.reasons) e
     WHERE q.failed > 0 GROUP BY 1) w) AS reasons
FROM part q
"""
SPREAD_OF_SOME = f"WITH part AS MATERIALIZED ({_PARTS.format(month=_WIDE, where=_SOME)}) {_SPREAD}"
SPREAD_OF_ALL = f"""
WITH part AS MATERIALIZED (
  SELECT {_WIDE} FROM whatsappapi_ownerday q WHERE {_ALL} AND q.date BETWEEN %(first)s AND %(last)s
) {_SPREAD}
"""

# Sessions beside each other, those deleted since among them. `@key` is one of ORDERS. What they are sorted by is summed
# up for all of them, the rest for those of the page only.
_COMPARE = f"""
WITH summed AS (
  SELECT q.session_id, @key AS key FROM (@parts) q GROUP BY 1
), ranked AS MATERIALIZED (
  SELECT s.id, s.public_id, s.session_name, s.deleted_at, count(*) OVER () AS total,
    row_number() OVER (ORDER BY r.key DESC NULLS LAST, lower(s.session_name), s.session_name, s.id) AS place
  FROM summed r JOIN whatsappapi_wasendersession s ON s.id = r.session_id
  ORDER BY place LIMIT %(limit)s OFFSET %(offset)s
)
SELECT r.public_id, r.session_name, r.deleted_at, {_SUMS}, r.total
FROM ranked r CROSS JOIN LATERAL (@own) q
GROUP BY r.id, r.public_id, r.session_name, r.deleted_at, r.total, r.place ORDER BY r.place
"""
_NARROW = f"q.session_id, {_PLAIN}"
_COMPARE = _COMPARE.replace("@own", _PARTS.format(month=_NARROW, where="q.session_id = r.id"))
COMPARE_ALL = _COMPARE.replace("@parts", _PARTS.format(month=_NARROW, where=_ALL))
COMPARE_SOME = _COMPARE.replace("@parts", _PARTS.format(month=_NARROW, where=_SOME))
ORDERS = {
    "sent": "sum(q.sent)::float8",
    "delivered": "sum(q.delivered)::float8 / nullif(sum(q.sent), 0)",
    "read": "sum(q.read)::float8 / nullif(sum(q.delivered), 0)",
    "replied": "sum(q.replied)::float8",
    "failed": "sum(q.failed)::float8",
    "opted_out": "sum(q.opted_out)::float8",
    "up": "sum(q.up)::float8 / nullif(sum(q.known), 0)",
    "name": "0::float8",
}

# Quarters as hours of the owner's clock, for a range of few days.
HOURS = f"""
SELECT date_bin('1 hour', q.start, %(low)s) AS hour, {", ".join(f"sum(q.{name})::bigint AS {name}" for name in COUNTS)}
FROM whatsappapi_sessionquarter q
WHERE q.session_id = ANY(%(sessions)s) AND q.start >= %(low)s AND q.start < %(high)s GROUP BY 1 ORDER BY 1
"""
