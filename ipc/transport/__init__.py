"""How processes talk: messages, mailboxes, and the routers that pass messages on."""
