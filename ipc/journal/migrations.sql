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
-- Columns for what was read out of texts: the source out of the identity, the cause of a dead letter out of its reason.
ALTER TABLE jobs ADD COLUMN source TEXT NOT NULL DEFAULT 'telegram' CHECK (source IN ('telegram', 'export'));
UPDATE jobs SET source = 'export' WHERE identity NOT GLOB 'id:*';
ALTER TABLE jobs ADD COLUMN dead_cause TEXT CHECK (dead_cause IN ('failure', 'poison'));
UPDATE jobs SET dead_cause = iif(substr(reason, 1, 17) = 'poison, set aside', 'poison', 'failure')
WHERE state = 'dead';
-- Queues whose next job is at their head, and figures that are kept, not counted.
ALTER TABLE jobs ADD COLUMN queue TEXT GENERATED ALWAYS AS (
    CASE state WHEN 'seen' THEN source
               WHEN 'fetched' THEN iif(alone, 'alone', 'render')
               WHEN 'rendered' THEN iif(stored, 'write', 'store') END
) VIRTUAL;
DROP INDEX jobs_waiting;
DROP INDEX jobs_to_fetch;
DROP INDEX jobs_later;
CREATE INDEX jobs_ready ON jobs (queue, priority, id) WHERE queue IS NOT NULL AND next_at = 0;
CREATE INDEX jobs_put_off ON jobs (queue, priority, next_at) WHERE queue IS NOT NULL AND next_at != 0;
CREATE INDEX jobs_ready_by_channel ON jobs (channel_id, priority, id) WHERE queue = 'telegram' AND next_at = 0;
CREATE INDEX jobs_put_off_by_channel ON jobs (channel_id, priority, next_at) WHERE queue = 'telegram' AND next_at != 0;
CREATE INDEX jobs_later ON jobs (next_at) WHERE next_at != 0;
CREATE INDEX jobs_claimed ON jobs (id) WHERE claimed_by IS NOT NULL;
CREATE INDEX jobs_poison ON jobs (id) WHERE dead_cause = 'poison';
DROP TRIGGER job_appears;
DROP TRIGGER job_moves;
CREATE TABLE counts (
    state       TEXT    NOT NULL,
    channel_id  INTEGER NOT NULL,
    jobs        INTEGER NOT NULL,
    put_off     INTEGER NOT NULL,
    spool_bytes INTEGER NOT NULL,
    PRIMARY KEY (state, channel_id)
) STRICT, WITHOUT ROWID;
INSERT INTO counts
SELECT state, channel_id, count(*), sum(next_at > 0), sum(iif(stored, 0, coalesce(bytes, 0) + rendition_bytes))
FROM jobs GROUP BY state, channel_id;
INSERT OR IGNORE INTO counts SELECT state, id, 0, 0, 0 FROM channels CROSS JOIN states;
DROP TABLE states;
CREATE VIEW states AS SELECT state, sum(jobs) AS jobs FROM counts GROUP BY state;
CREATE TRIGGER channel_appears AFTER INSERT ON channels BEGIN
    INSERT INTO counts VALUES ('seen', NEW.id, 0, 0, 0), ('fetched', NEW.id, 0, 0, 0), ('rendered', NEW.id, 0, 0, 0),
                              ('published', NEW.id, 0, 0, 0), ('dead', NEW.id, 0, 0, 0);
END;

CREATE TRIGGER job_appears AFTER INSERT ON jobs BEGIN
    UPDATE counts SET jobs = jobs + 1, put_off = put_off + (NEW.next_at > 0),
                      spool_bytes = spool_bytes + iif(NEW.stored, 0, coalesce(NEW.bytes, 0) + NEW.rendition_bytes)
    WHERE state = NEW.state AND channel_id = NEW.channel_id;
END;

CREATE TRIGGER job_moves AFTER UPDATE OF state, next_at, stored, bytes, rendition_bytes ON jobs
WHEN (OLD.state, OLD.next_at > 0, OLD.stored, OLD.bytes, OLD.rendition_bytes)
     IS NOT (NEW.state, NEW.next_at > 0, NEW.stored, NEW.bytes, NEW.rendition_bytes)
BEGIN
    UPDATE counts SET jobs = jobs - 1, put_off = put_off - (OLD.next_at > 0),
                      spool_bytes = spool_bytes - iif(OLD.stored, 0, coalesce(OLD.bytes, 0) + OLD.rendition_bytes)
    WHERE state = OLD.state AND channel_id = OLD.channel_id;
    UPDATE counts SET jobs = jobs + 1, put_off = put_off + (NEW.next_at > 0),
                      spool_bytes = spool_bytes + iif(NEW.stored, 0, coalesce(NEW.bytes, 0) + NEW.rendition_bytes)
    WHERE state = NEW.state AND channel_id = NEW.channel_id;
END;
-- What each job waits for since when, and its last steps; statistics, as far as the jobs tell them.
ALTER TABLE jobs ADD COLUMN waits_since INTEGER;
ALTER TABLE jobs ADD COLUMN life BLOB NOT NULL DEFAULT x'';
UPDATE jobs SET waits_since = seen_at WHERE state IN ('seen', 'fetched', 'rendered');
CREATE INDEX jobs_waiting ON jobs (waits_since) WHERE waits_since IS NOT NULL;
CREATE TABLE durations (
    name    TEXT    NOT NULL,
    bound   REAL    NOT NULL,
    count   INTEGER NOT NULL,
    seconds REAL    NOT NULL,
    PRIMARY KEY (name, bound)
) STRICT, WITHOUT ROWID;
CREATE TABLE outcomes (
    stage   TEXT    NOT NULL,
    outcome TEXT    NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (stage, outcome)
) STRICT, WITHOUT ROWID;
CREATE TABLE minutes (
    minute    INTEGER PRIMARY KEY,
    published INTEGER NOT NULL
) STRICT;
CREATE TABLE hours (
    channel_id INTEGER NOT NULL,
    hour       INTEGER NOT NULL,
    published  INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    PRIMARY KEY (channel_id, hour)
) STRICT, WITHOUT ROWID;
INSERT INTO minutes SELECT published_at / 60, count(*) FROM jobs
WHERE published_at >= unixepoch() - 86400 GROUP BY published_at / 60;
INSERT INTO hours SELECT channel_id, published_at / 3600, count(*), max(published_at) FROM jobs
WHERE published_at IS NOT NULL GROUP BY channel_id, published_at / 3600;
CREATE TRIGGER minute_begins AFTER INSERT ON minutes BEGIN
    DELETE FROM minutes WHERE minute < NEW.minute - 4320;
    DELETE FROM minutes WHERE minute > NEW.minute + 60;
END;
CREATE TRIGGER hour_begins AFTER INSERT ON hours BEGIN
    DELETE FROM hours WHERE channel_id = NEW.channel_id AND hour < NEW.hour - 48;
    DELETE FROM hours WHERE channel_id = NEW.channel_id AND hour > NEW.hour + 1;
END;
CREATE TABLE restarts (
    child TEXT    NOT NULL,
    cause TEXT    NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (child, cause)
) STRICT, WITHOUT ROWID;
CREATE TABLE counted_ends (
    id            INTEGER PRIMARY KEY,
    child         TEXT    NOT NULL,
    at            INTEGER NOT NULL,
    lived_seconds REAL    NOT NULL,
    UNIQUE (child, at, lived_seconds)
) STRICT;
CREATE TRIGGER end_is_counted AFTER INSERT ON counted_ends BEGIN
    DELETE FROM counted_ends WHERE child = NEW.child AND id <= (
        SELECT id FROM counted_ends WHERE child = NEW.child ORDER BY id DESC LIMIT 1 OFFSET 100
    );
END;

-- version: 5
-- By which recipe a picture was rendered: not recorded until this version. Pictures that are rendered anew.
ALTER TABLE jobs ADD COLUMN recipe TEXT;
CREATE TABLE renewals (
    job            INTEGER PRIMARY KEY REFERENCES jobs (id),
    step           TEXT    NOT NULL CHECK (step IN ('wanted', 'making', 'moved', 'failed')),
    recipe         TEXT    NOT NULL,
    next_at        REAL    NOT NULL,
    reason         TEXT,
    was_stripped   INTEGER,
    priority       INTEGER,
    sha256         TEXT,
    bytes          INTEGER,
    mime           TEXT,
    extension      TEXT,
    width          INTEGER,
    height         INTEGER,
    renditions     BLOB,
    rendition_bytes INTEGER,
    former_recipe  TEXT,
    stripped_bytes INTEGER,
    original       TEXT
) STRICT;
CREATE INDEX renewals_turn ON renewals (step, next_at, job);

CREATE TABLE renewal_counts (step TEXT PRIMARY KEY, jobs INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO renewal_counts VALUES ('wanted', 0), ('making', 0), ('moved', 0), ('failed', 0);

CREATE TRIGGER renewal_appears AFTER INSERT ON renewals BEGIN
    UPDATE renewal_counts SET jobs = jobs + 1 WHERE step = NEW.step;
END;

CREATE TRIGGER renewal_moves AFTER UPDATE OF step ON renewals WHEN OLD.step IS NOT NEW.step BEGIN
    UPDATE renewal_counts SET jobs = jobs - 1 WHERE step = OLD.step;
    UPDATE renewal_counts SET jobs = jobs + 1 WHERE step = NEW.step;
END;

CREATE TRIGGER renewal_ends AFTER DELETE ON renewals BEGIN
    UPDATE renewal_counts SET jobs = jobs - 1 WHERE step = OLD.step;
END;

-- version: 6
-- What the pictures look like, who may see them, and what has changed for readers: not recorded until this version.
ALTER TABLE channels ADD COLUMN name TEXT;
ALTER TABLE jobs ADD COLUMN hidden_at INTEGER;
ALTER TABLE jobs ADD COLUMN hidden_by TEXT CHECK (hidden_by IN ('caption', 'operator', 'block'));
ALTER TABLE jobs ADD COLUMN kind TEXT NOT NULL DEFAULT 'photo' CHECK (kind IN ('photo', 'video'));
ALTER TABLE jobs ADD COLUMN appearance BLOB;
ALTER TABLE jobs ADD COLUMN preview_bytes INTEGER;
ALTER TABLE jobs ADD COLUMN shown INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET shown = 1 WHERE published_at IS NOT NULL AND NOT (deleted_at IS NOT NULL AND state = 'published');
ALTER TABLE renewals ADD COLUMN appearance BLOB;
ALTER TABLE renewals ADD COLUMN preview_bytes INTEGER;
CREATE TABLE changes (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    channel_id INTEGER NOT NULL,
    message_id INTEGER NOT NULL,
    what       TEXT    NOT NULL CHECK (what IN ('published', 'changed', 'deleted')),
    at         INTEGER NOT NULL
) STRICT;
CREATE TABLE consumers (
    name     TEXT PRIMARY KEY,
    position INTEGER NOT NULL,
    built    INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
-- Takedown. Which version made the journal is not known of an older one: 0.
CREATE TABLE takedowns (
    job    INTEGER NOT NULL REFERENCES jobs (id),
    sha256 TEXT    NOT NULL,
    step   TEXT    NOT NULL CHECK (step IN ('replaced', 'marked', 'waiting', 'leaving')),
    at     REAL    NOT NULL,
    looks  INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (job, sha256)
) STRICT, WITHOUT ROWID;
CREATE INDEX takedowns_turn ON takedowns (step, at);
CREATE INDEX takedowns_sha256 ON takedowns (sha256);
CREATE TABLE purges (
    url    TEXT PRIMARY KEY,
    sha256 TEXT    NOT NULL,
    ready  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX purges_ready ON purges (ready, url);
CREATE INDEX purges_sha256 ON purges (sha256);
CREATE TABLE takedown_counts (step TEXT PRIMARY KEY, rows INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO takedown_counts VALUES ('replaced', 0), ('marked', 0), ('waiting', 0), ('leaving', 0), ('purging', 0);
CREATE TRIGGER takedown_appears AFTER INSERT ON takedowns BEGIN
    UPDATE takedown_counts SET rows = rows + 1 WHERE step = NEW.step;
END;
CREATE TRIGGER takedown_moves AFTER UPDATE OF step ON takedowns WHEN OLD.step IS NOT NEW.step BEGIN
    UPDATE takedown_counts SET rows = rows - 1 WHERE step = OLD.step;
    UPDATE takedown_counts SET rows = rows + 1 WHERE step = NEW.step;
END;
CREATE TRIGGER takedown_ends AFTER DELETE ON takedowns BEGIN
    UPDATE takedown_counts SET rows = rows - 1 WHERE step = OLD.step;
END;
CREATE TRIGGER purge_appears AFTER INSERT ON purges BEGIN
    UPDATE takedown_counts SET rows = rows + 1 WHERE step = 'purging';
END;
CREATE TRIGGER purge_ends AFTER DELETE ON purges BEGIN
    UPDATE takedown_counts SET rows = rows - 1 WHERE step = 'purging';
END;
CREATE TABLE origin (
    version INTEGER NOT NULL
) STRICT;
INSERT INTO origin VALUES (0);

-- Webhooks.
CREATE TABLE webhooks (
    name          TEXT PRIMARY KEY,
    kind          TEXT    NOT NULL CHECK (kind IN ('events', 'rebuild')),
    label         TEXT    NOT NULL,
    token         TEXT    NOT NULL,
    waiting       INTEGER NOT NULL DEFAULT 0,
    dead          INTEGER NOT NULL DEFAULT 0,
    delivered     INTEGER NOT NULL DEFAULT 0,
    failed        INTEGER NOT NULL DEFAULT 0,
    attempts      INTEGER NOT NULL DEFAULT 0,
    next_at       REAL    NOT NULL DEFAULT 0,
    failing_since REAL,
    error         TEXT    NOT NULL DEFAULT '',
    remedy        TEXT    NOT NULL DEFAULT '',
    opened_at     REAL,
    silent_until  REAL,
    gone_at       INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
    webhook    TEXT    NOT NULL REFERENCES webhooks (name),
    change     INTEGER NOT NULL,
    channel_id INTEGER NOT NULL,
    message_id INTEGER NOT NULL,
    what       TEXT    NOT NULL CHECK (what IN ('published', 'changed', 'deleted')),
    at         INTEGER NOT NULL,
    state      TEXT    NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'dead')),
    attempts   INTEGER NOT NULL DEFAULT 0,
    next_at    REAL    NOT NULL DEFAULT 0,
    reason     TEXT,
    PRIMARY KEY (webhook, change)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_due ON deliveries (webhook, next_at, change) WHERE state = 'waiting';
CREATE INDEX deliveries_of_picture ON deliveries (webhook, channel_id, message_id, change) WHERE state = 'waiting';
CREATE INDEX deliveries_dead ON deliveries (webhook, change) WHERE state = 'dead';

CREATE TRIGGER delivery_appears AFTER INSERT ON deliveries BEGIN
    UPDATE webhooks SET waiting = waiting + (NEW.state = 'waiting'), dead = dead + (NEW.state = 'dead')
    WHERE name = NEW.webhook;
END;

CREATE TRIGGER delivery_moves AFTER UPDATE OF state ON deliveries WHEN OLD.state IS NOT NEW.state BEGIN
    UPDATE webhooks SET waiting = waiting + (NEW.state = 'waiting') - (OLD.state = 'waiting'),
                        dead = dead + (NEW.state = 'dead') - (OLD.state = 'dead')
    WHERE name = NEW.webhook;
END;

CREATE TRIGGER delivery_ends AFTER DELETE ON deliveries BEGIN
    UPDATE webhooks SET waiting = waiting - (OLD.state = 'waiting'), dead = dead - (OLD.state = 'dead')
    WHERE name = OLD.webhook;
END;

-- Which columns the rows under an address have: those that are there have the first version's.
PRAGMA defer_foreign_keys = ON;
CREATE TEMP TABLE former_addresses AS SELECT id, url, prefix FROM addresses;
DROP TABLE addresses;
CREATE TABLE addresses (
    id     INTEGER PRIMARY KEY,
    url    TEXT NOT NULL,
    prefix TEXT NOT NULL,
    columns INTEGER NOT NULL DEFAULT 1,
    UNIQUE (url, prefix, columns)
) STRICT;
INSERT INTO addresses (id, url, prefix) SELECT id, url, prefix FROM former_addresses;
DROP TABLE former_addresses;
-- Dead letters by reason.
CREATE INDEX jobs_dead_reason ON jobs (reason, id) WHERE state = 'dead';
CREATE TABLE dead_reasons (
    reason TEXT PRIMARY KEY,
    jobs   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX dead_reasons_jobs ON dead_reasons (jobs);
INSERT INTO dead_reasons SELECT coalesce(reason, ''), count(*) FROM jobs WHERE state = 'dead' GROUP BY 1;
CREATE TRIGGER dead_job_appears AFTER INSERT ON jobs WHEN NEW.state = 'dead' BEGIN
    INSERT INTO dead_reasons VALUES (coalesce(NEW.reason, ''), 1) ON CONFLICT (reason) DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER job_dies AFTER UPDATE OF state, reason ON jobs
WHEN NEW.state = 'dead' AND (OLD.state IS NOT 'dead' OR OLD.reason IS NOT NEW.reason)
BEGIN
    INSERT INTO dead_reasons VALUES (coalesce(NEW.reason, ''), 1) ON CONFLICT (reason) DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER job_is_revived AFTER UPDATE OF state, reason ON jobs
WHEN OLD.state = 'dead' AND (NEW.state IS NOT 'dead' OR OLD.reason IS NOT NEW.reason)
BEGIN
    UPDATE dead_reasons SET jobs = jobs - 1 WHERE reason = coalesce(OLD.reason, '');
    DELETE FROM dead_reasons WHERE reason = coalesce(OLD.reason, '') AND jobs = 0;
END;

-- Editors.
CREATE INDEX jobs_album ON jobs (channel_id, grouped_id) WHERE grouped_id IS NOT NULL;
CREATE TABLE blocked (
    sha256 TEXT PRIMARY KEY,
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE blocked_posts (
    job    INTEGER PRIMARY KEY REFERENCES jobs (id),
    sha256 TEXT    NOT NULL
) STRICT;
CREATE INDEX blocked_posts_sha256 ON blocked_posts (sha256);
-- Rows of deleted and hidden posts that were refused.
CREATE INDEX jobs_still_shown ON jobs (id)
    WHERE state = 'dead' AND shown = 1 AND (deleted_at IS NOT NULL OR hidden_at IS NOT NULL);
-- The gallery.
CREATE TABLE site_blocks (
    channel_id INTEGER NOT NULL,
    first_id   INTEGER NOT NULL,
    is_read    INTEGER NOT NULL DEFAULT 0,
    posts      INTEGER NOT NULL DEFAULT 0,
    newest     TEXT    NOT NULL DEFAULT '',
    oldest     TEXT    NOT NULL DEFAULT '',
    oldest_at  TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (channel_id, first_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE site_channels (
    channel_id INTEGER PRIMARY KEY,
    title      TEXT    NOT NULL DEFAULT '',
    name       TEXT,
    posts      INTEGER NOT NULL DEFAULT 0,
    newest_at  TEXT    NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX site_channels_newest ON site_channels (newest_at) WHERE posts > 0;
CREATE TABLE site_pages (
    path       TEXT PRIMARY KEY,
    kind       TEXT    NOT NULL CHECK (kind IN ('post', 'page', 'asset', 'sitemap')),
    digest     BLOB    NOT NULL,
    channel_id INTEGER,
    first_id   INTEGER,
    changed_at TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX site_pages_post ON site_pages (channel_id, first_id) WHERE kind = 'post';
CREATE INDEX site_pages_kind ON site_pages (kind, path) WHERE kind IN ('asset', 'sitemap');
CREATE TABLE site_tasks (
    what       TEXT    NOT NULL CHECK (what IN ('assets', 'block', 'channel', 'index', 'chunk', 'sitemap', 'tidy')),
    channel_id INTEGER NOT NULL DEFAULT 0,
    number     INTEGER NOT NULL DEFAULT 0,
    rank       INTEGER NOT NULL,
    PRIMARY KEY (what, channel_id, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX site_tasks_turn ON site_tasks (rank, what, channel_id DESC, number DESC);
CREATE TABLE site_counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO site_counts VALUES ('tasks', 0), ('pages', 0);
CREATE TRIGGER site_task_appears AFTER INSERT ON site_tasks BEGIN
    UPDATE site_counts SET value = value + 1 WHERE name = 'tasks';
END;
CREATE TRIGGER site_task_ends AFTER DELETE ON site_tasks BEGIN
    UPDATE site_counts SET value = value - 1 WHERE name = 'tasks';
END;
CREATE TRIGGER site_page_appears AFTER INSERT ON site_pages BEGIN
    UPDATE site_counts SET value = value + 1 WHERE name = 'pages';
END;
CREATE TRIGGER site_page_goes AFTER DELETE ON site_pages BEGIN
    UPDATE site_counts SET value = value - 1 WHERE name = 'pages';
END;
CREATE TABLE site (id INTEGER PRIMARY KEY CHECK (id = 1), version TEXT NOT NULL, place TEXT NOT NULL) STRICT;

-- version: 7
-- Many machines: what is handed over, and what is taken. A third source: the check is all that is new of the table.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (source IN (''telegram'', ''export''))', 'CHECK (source IN (''telegram'', ''export'', ''queue''))')
WHERE type = 'table' AND name = 'jobs';
UPDATE sqlite_schema SET sql = replace(sql, 'iif(alone, ''alone'', ''render'')', 'iif(claimed_by = ''machines'', NULL, iif(alone, ''alone'', ''render''))')
WHERE type = 'table' AND name = 'jobs';
PRAGMA writable_schema = RESET;
CREATE TABLE machine (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    id       TEXT    NOT NULL,
    last_job INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO machine (one, id) VALUES (1, lower(hex(randomblob(6))));
CREATE TABLE claims (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    job        INTEGER NOT NULL UNIQUE REFERENCES jobs (id),
    generation INTEGER NOT NULL,
    revision   INTEGER NOT NULL,
    token      TEXT    NOT NULL,
    step       TEXT    NOT NULL CHECK (step IN ('claimed', 'put', 'handed')),
    at         REAL    NOT NULL
) STRICT;
CREATE INDEX claims_step ON claims (step, number);
CREATE TABLE claim_leftovers (
    token TEXT PRIMARY KEY,
    key   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER claim_ends AFTER UPDATE OF claimed_by, generation ON jobs
WHEN OLD.claimed_by = 'machines' AND (NEW.claimed_by IS NOT 'machines' OR NEW.generation IS NOT OLD.generation)
BEGIN
    INSERT INTO claim_leftovers (token, key)
    SELECT token, printf('%s:%d:%d:%d:%d', machine.id, OLD.channel_id, OLD.message_id, generation, number)
    FROM claims CROSS JOIN machine WHERE claims.job = OLD.id;
    DELETE FROM claims WHERE job = OLD.id;
END;
CREATE TABLE taken (
    job      INTEGER PRIMARY KEY REFERENCES jobs (id),
    key      TEXT    NOT NULL UNIQUE,
    origin   TEXT    NOT NULL,
    queue    TEXT    NOT NULL,
    msg_id   INTEGER NOT NULL,
    read_ct  INTEGER NOT NULL,
    terms    BLOB    NOT NULL,
    taken_at REAL    NOT NULL
) STRICT;
CREATE TABLE origins (
    origin    TEXT PRIMARY KEY,
    published INTEGER NOT NULL DEFAULT 0,
    dead      INTEGER NOT NULL DEFAULT 0,
    returned  INTEGER NOT NULL DEFAULT 0,
    lost      INTEGER NOT NULL DEFAULT 0,
    last_at   REAL    NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TRIGGER job_goes AFTER DELETE ON jobs BEGIN
    UPDATE machine SET last_job = max(last_job, OLD.id);
    DELETE FROM last_failure WHERE job = OLD.id;
    DELETE FROM renewals WHERE job = OLD.id;
    DELETE FROM takedowns WHERE job = OLD.id;
    DELETE FROM blocked_posts WHERE job = OLD.id;
    UPDATE counts SET jobs = jobs - 1, put_off = put_off - (OLD.next_at > 0),
                      spool_bytes = spool_bytes - iif(OLD.stored, 0, coalesce(OLD.bytes, 0) + OLD.rendition_bytes)
    WHERE state = OLD.state AND channel_id = OLD.channel_id;
END;
CREATE TRIGGER dead_job_goes AFTER DELETE ON jobs WHEN OLD.state = 'dead' BEGIN
    UPDATE dead_reasons SET jobs = jobs - 1 WHERE reason = coalesce(OLD.reason, '');
    DELETE FROM dead_reasons WHERE reason = coalesce(OLD.reason, '') AND jobs = 0;
END;

-- version: 8
-- That its picture is blocked is a cause of its own: until this version it stood in the reason alone.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (dead_cause IN (''failure'', ''poison''))', 'CHECK (dead_cause IN (''failure'', ''poison'', ''blocked''))')
WHERE type = 'table' AND name = 'jobs';
PRAGMA writable_schema = RESET;
UPDATE jobs SET dead_cause = 'blocked' WHERE state = 'dead' AND reason = 'blocked by the operator';
