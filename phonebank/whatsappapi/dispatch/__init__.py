"""The send engine. `docs/send-path.md` says rule by rule what it keeps; SQL stands in sql/ alone."""
