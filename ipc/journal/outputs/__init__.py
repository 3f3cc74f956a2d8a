"""What follows from the rows: the changes and who follows them, the gallery, webhooks, and what is taken down."""
