"""Tells people what is wrong: messages through Apprise, and a dead man's ping. Decisions are pure; threads send."""
