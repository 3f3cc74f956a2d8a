-- The journal: the only truth about which picture is where. One file, one transaction for cursor and job.

CREATE TABLE channels (
    id         INTEGER PRIMARY KEY,       -- Telegram's bare positive id
    title      TEXT    NOT NULL,
    cursor     INTEGER NOT NULL,          -- every message from `floor` up to this id has been recorded
    ignored    BLOB    NOT NULL,          -- msgpack map: kind of message that is not taken -> how many were passed over
    floor      INTEGER NOT NULL,          -- backfill goes on below this id
    backfilled INTEGER NOT NULL           -- how many messages backfill has read
) STRICT;

-- How an address in the configuration was resolved: names are resolved once, since Telegram makes one wait for hours.
CREATE TABLE peers (
    address     TEXT    NOT NULL,         -- as `ipc.channel_address` reads it, kind and value
    account_id  INTEGER NOT NULL,         -- an access hash holds for one account only
    channel_id  INTEGER NOT NULL,
    access_hash INTEGER NOT NULL,         -- 0: it does not hold any more
    PRIMARY KEY (address, account_id)
) STRICT, WITHOUT ROWID;

-- When an address was first configured: what is posted from then on is taken, however much later the channel is opened.
CREATE TABLE sightings (
    address       TEXT PRIMARY KEY,
    configured_at REAL NOT NULL           -- Unix seconds
) STRICT, WITHOUT ROWID;

-- What the URLs in the rows begin with, and the keys in them: the settings may change, the rows stay until they are
-- written again.
CREATE TABLE addresses (
    id     INTEGER PRIMARY KEY,
    url    TEXT NOT NULL,                 -- of all that is under the prefix
    prefix TEXT NOT NULL,
    UNIQUE (url, prefix)
) STRICT;

-- A job is one photo message on its way: seen -> fetched -> rendered -> published, or dead.
CREATE TABLE jobs (
    id              INTEGER PRIMARY KEY,
    channel_id      INTEGER NOT NULL REFERENCES channels (id),
    message_id      INTEGER NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN ('seen', 'fetched', 'rendered', 'published', 'dead')),
    -- the message
    revision        INTEGER NOT NULL,     -- grows with every change of the message; the row with the highest wins
    digest          BLOB    NOT NULL,     -- of what the row shows of the message: tells a change from a repetition
    grouped_id      INTEGER,
    caption         TEXT    NOT NULL,
    entities        BLOB    NOT NULL,     -- msgpack array: the caption's formatting (see `ipc.posts.Post`)
    forwarded_from  BLOB,                 -- msgpack map: whose message this was first
    reply_to        INTEGER,              -- the message that this one answers
    posted_at       INTEGER NOT NULL,     -- Unix seconds
    edited_at       INTEGER,
    deleted_at      INTEGER,
    -- the picture
    generation      INTEGER NOT NULL,     -- grows when the message gets another picture; names the spool folder
    photo_id        INTEGER,              -- Telegram's; NULL where the source does not know it
    identity        TEXT    NOT NULL,     -- changes exactly when the picture changes
    locator         BLOB    NOT NULL,     -- msgpack map: how the source finds the bytes again
    sha256          TEXT,                 -- of the original, from fetched on
    bytes           INTEGER,
    mime            TEXT,                 -- from rendered on
    extension       TEXT,
    width           INTEGER,              -- pixels, upright
    height          INTEGER,
    renditions      BLOB,                 -- msgpack array of [width, height, format, bytes]
    rendition_bytes INTEGER NOT NULL,
    stripped_bytes  INTEGER,              -- of the stripped original; 0: it can't be stripped; NULL: nobody tried
    stored          INTEGER NOT NULL,     -- 1: every object is in the storage
    original        TEXT,                 -- what of the original is there, once stored: stripped, as_is or none
    address         INTEGER REFERENCES addresses (id), -- what its row's URLs begin with; NULL: nobody noted it
    doubted         TEXT,                 -- sha256 of an original that could not be decoded, and was fetched again
    doubts          INTEGER NOT NULL DEFAULT 0, -- how often that was
    -- the work
    priority        INTEGER NOT NULL,     -- what is posted now goes before backfill; lowest first
    attempts        INTEGER NOT NULL,     -- failures in this state
    next_at         REAL    NOT NULL,     -- Unix seconds: not before
    claimed_by      TEXT,                 -- the image worker that has it
    deaths          INTEGER NOT NULL,     -- image workers that this picture killed
    alone           INTEGER NOT NULL,     -- 1: its next try is by itself, under the larger memory cap
    dead_state      TEXT,                 -- the state in which it died
    reason          TEXT,                 -- of the last failure
    seen_at         INTEGER NOT NULL,
    published_at    INTEGER,              -- first time
    UNIQUE (channel_id, message_id)
) STRICT;

CREATE INDEX jobs_waiting ON jobs (state, priority, id) WHERE state IN ('seen', 'fetched', 'rendered');
CREATE INDEX jobs_to_fetch ON jobs (channel_id, priority, id) WHERE state = 'seen';
CREATE INDEX jobs_later ON jobs (next_at) WHERE next_at > 0;
CREATE INDEX jobs_sha256 ON jobs (sha256) WHERE sha256 IS NOT NULL;
CREATE INDEX jobs_as_is ON jobs (sha256) WHERE original = 'as_is' AND stored = 1 AND renditions IS NOT NULL;
CREATE INDEX jobs_address ON jobs (address) WHERE state = 'published' AND deleted_at IS NULL;
CREATE INDEX jobs_dead ON jobs (id) WHERE state = 'dead';

-- How many jobs are in each state, kept by triggers, so that /status never counts a million rows.
CREATE TABLE states (state TEXT PRIMARY KEY, jobs INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO states VALUES ('seen', 0), ('fetched', 0), ('rendered', 0), ('published', 0), ('dead', 0);

CREATE TRIGGER job_appears AFTER INSERT ON jobs BEGIN
    UPDATE states SET jobs = jobs + 1 WHERE state = NEW.state;
END;

CREATE TRIGGER job_moves AFTER UPDATE OF state ON jobs WHEN OLD.state IS NOT NEW.state BEGIN
    UPDATE states SET jobs = jobs - 1 WHERE state = OLD.state;
    UPDATE states SET jobs = jobs + 1 WHERE state = NEW.state;
END;

-- What has ever happened: these only grow.
CREATE TABLE totals (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO totals VALUES ('processed', 0), ('failed', 0), ('retried', 0);

-- The newest failure of any job, for /status: one row, or none.
CREATE TABLE last_failure (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    at     INTEGER NOT NULL,              -- Unix seconds
    job    INTEGER NOT NULL REFERENCES jobs (id),
    reason TEXT    NOT NULL
) STRICT;

-- The uploader's circuit breakers that are not closed: who replaces it goes on where it was.
CREATE TABLE breakers (
    service      TEXT PRIMARY KEY,        -- storage or catalog
    opened_at    REAL NOT NULL,           -- Unix seconds: first since the last success
    silent_until REAL NOT NULL,           -- not before
    error        TEXT NOT NULL,
    remedy       TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Pictures whose objects are being removed from the storage, since no row names them: until that is done, or has been
-- given up for long enough, nobody stores objects under these digests.
CREATE TABLE removals (
    sha256 TEXT PRIMARY KEY,
    at     REAL NOT NULL                  -- Unix seconds: of the last request to the storage
) STRICT, WITHOUT ROWID;
