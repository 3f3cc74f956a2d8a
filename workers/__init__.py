"""The processes that do the work: connection, pool, image worker, uploader. They share only journal and spool."""
