"""Sentences that reach rows by SQL, from another process or in passing: the reader gets them in their language too."""

from __future__ import annotations

from phonebank.language import stored

PUT_ASIDE = stored("A webhook could not be used and was put aside: %(note)s")

stored("No answer came back; being looked up")
stored("No clear answer; being looked up")
stored("The session could not send")
stored("This person may have received it")
stored("Not sent after %(n)s tries")
stored("Proven unsent: it is not in the gateway's log")
stored("The gateway could not send it: %(detail)s")
stored("The worker stopped while the request was under way")
stored("The gateway's address or set-up is wrong: %(detail)s")
stored("The campaign was cancelled")
stored("The account that its number belonged to is closed")
stored("Assumed sent by a person")
stored("The gateway said that this number is not connected.")
stored("More people joined its audience than may be written to without approval. Resume it to ask for that.")

# Why a message is at its session, and why it left another.
stored("They already talk with this number")
stored("Dealt in turn")
stored("Sent again by a person's decision")
stored("Moved: %(name)s was taken out")
stored("Moved: %(name)s was deleted")
stored("Moved: %(name)s is not connected")
stored("Moved: %(name)s needs a scan")
stored("Moved: %(name)s reached its limit for today")
stored("was taken out")
stored("was deleted")
stored("is not shared any more")
stored("belongs to a closed account")
stored("was refused by the gateway")
stored("is more than the plan allows")
stored("needs a scan")
stored("needs a passkey")
stored("is not connected")
stored("is still connecting")
stored("is in a state we do not know")
stored("is logged out")
stored("is expired")
stored("is switched off")
stored("reached its limit for today")

# Of a line or a file that could not be read.
stored("A cell has more than %(value_max)s characters.")
stored("The name has more than %(name_max)s characters.")
stored("%(country)s is not a country code. Use two letters such as ES.")
stored("The sheet has %(n)s columns; at most %(most)s can be read. Remove some.")
stored("The sheet has more than %(most)s rows. Split it into several.")
stored("The sheet spans too many cells, most of them empty. Copy its rows into a new workbook.")
stored("The workbook cannot be read. Save it anew as XLSX, or as “CSV UTF-8”.")
stored("The workbook has no rows.")

# Of a session that is doubted.
stored("%(n)s of its last %(all)s messages failed; that is more than before.")
stored("%(n)s of its last %(all)s messages were not confirmed within %(minutes)s min, as they used to be.")
