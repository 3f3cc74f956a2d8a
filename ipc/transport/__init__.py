"""How processes talk: messages, mailboxes, and who passes them on."""
