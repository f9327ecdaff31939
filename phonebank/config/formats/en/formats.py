"""How pages write dates and times in English: hours count to 24, like those that people enter."""

DATE_FORMAT = "M j, Y"
TIME_FORMAT = "H:i"
DATETIME_FORMAT = "M j, Y, H:i"
MONTH_DAY_FORMAT = "j M"
