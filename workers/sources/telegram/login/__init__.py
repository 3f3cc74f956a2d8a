"""Makes the session that Telegram is read with."""
