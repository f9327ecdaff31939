"""Hours count to 24, and dates are short enough for tables."""

DATE_FORMAT = "j M Y"
TIME_FORMAT = "H:i"
DATETIME_FORMAT = "j M Y، H:i"
MONTH_DAY_FORMAT = "j M"
NUMBER_GROUPING = 3
# As browsers write Arabic with these digits; the charts and the sums are theirs.
DECIMAL_SEPARATOR, THOUSAND_SEPARATOR = ".", ","
