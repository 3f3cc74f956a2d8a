"""The page at /: one document, live by server-sent events, with the newest pictures and the dead letters."""
