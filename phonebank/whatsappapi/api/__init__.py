"""The REST API: the pages' verbs for programs. A noun has a module; the rest is what they share."""
