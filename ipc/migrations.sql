-- How a journal of an older version becomes one of this. A block begins with `-- version:` and the version it leads to.

-- version: 2
-- Telegram as a source: ranges instead of cursors, resolved addresses, deletions, priorities, formatting.
ALTER TABLE channels ADD COLUMN floor INTEGER NOT NULL DEFAULT 1;
UPDATE channels SET floor = cursor + 1;  -- version 1 passed gaps over: backfill may look there once more
ALTER TABLE channels ADD COLUMN backfilled INTEGER NOT NULL DEFAULT 0;
CREATE TABLE peers (
    address     TEXT    NOT NULL,
    account_id  INTEGER NOT NULL,
    channel_id  INTEGER NOT NULL,
    access_hash INTEGER NOT NULL,
    PRIMARY KEY (address, account_id)
) STRICT, WITHOUT ROWID;
ALTER TABLE jobs ADD COLUMN entities BLOB NOT NULL DEFAULT x'90';
ALTER TABLE jobs ADD COLUMN forwarded_from BLOB;
ALTER TABLE jobs ADD COLUMN reply_to INTEGER;
ALTER TABLE jobs ADD COLUMN doubted TEXT;
ALTER TABLE jobs ADD COLUMN doubts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
DROP INDEX jobs_waiting;
CREATE INDEX jobs_waiting ON jobs (state, priority, id) WHERE state IN ('seen', 'fetched', 'rendered');
CREATE INDEX jobs_sha256 ON jobs (sha256) WHERE sha256 IS NOT NULL;

-- version: 3
-- When an address was first configured; each channel's own queue.
CREATE TABLE sightings (
    address       TEXT PRIMARY KEY,
    configured_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX jobs_to_fetch ON jobs (channel_id, priority, id) WHERE state = 'seen';
-- The uploader's: breakers that outlive it, and pictures whose objects are being removed.
CREATE TABLE breakers (
    service      TEXT PRIMARY KEY,
    opened_at    REAL NOT NULL,
    silent_until REAL NOT NULL,
    error        TEXT NOT NULL,
    remedy       TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE removals (
    sha256 TEXT PRIMARY KEY,
    at     REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- version: 4
-- What is published of originals: as they were, until this version. Under which address a row was written.
ALTER TABLE jobs ADD COLUMN stripped_bytes INTEGER;
ALTER TABLE jobs ADD COLUMN original TEXT DEFAULT 'as_is';  -- which says nothing before a job is stored
CREATE TABLE addresses (
    id     INTEGER PRIMARY KEY,
    url    TEXT NOT NULL,
    prefix TEXT NOT NULL,
    UNIQUE (url, prefix)
) STRICT;
ALTER TABLE jobs ADD COLUMN address INTEGER REFERENCES addresses (id);
CREATE INDEX jobs_as_is ON jobs (sha256) WHERE original = 'as_is' AND stored = 1 AND renditions IS NOT NULL;
CREATE INDEX jobs_address ON jobs (address) WHERE state = 'published' AND deleted_at IS NULL;
