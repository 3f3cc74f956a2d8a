"""What each process does: connection, pool, image worker, uploader. They meet only in the journal and the spool."""
