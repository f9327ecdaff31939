"""Every SQL statement of the send engine, by what it serves."""
