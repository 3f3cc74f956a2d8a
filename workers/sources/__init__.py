"""Where posts and their pictures come from: Telegram, or an export."""
