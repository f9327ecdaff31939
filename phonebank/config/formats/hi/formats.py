"""Hours count to 24, and dates are short enough for tables."""

DATE_FORMAT = "j M Y"
TIME_FORMAT = "H:i"
DATETIME_FORMAT = "j M Y, H:i"
MONTH_DAY_FORMAT = "j M"
NUMBER_GROUPING = (3, 2, 0)  # 12,34,567
