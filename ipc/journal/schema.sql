-- The journal: the only truth about which picture is where. One file, one transaction for cursor and job.

CREATE TABLE channels (
    id         INTEGER PRIMARY KEY,       -- Telegram's bare positive id
    title      TEXT    NOT NULL,
    name       TEXT,                      -- its public @name, without the @; NULL: it has none, or it is not known
    cursor     INTEGER NOT NULL,          -- every message from `floor` up to this id has been recorded
    ignored    BLOB    NOT NULL,          -- msgpack map: kind of message that is not taken -> how many were passed over
    floor      INTEGER NOT NULL,          -- backfill goes on below this id
    backfilled INTEGER NOT NULL           -- how many messages backfill has read
) STRICT;

-- How an address in the configuration was resolved: names are resolved once, since Telegram makes one wait for hours.
CREATE TABLE peers (
    address     TEXT    NOT NULL,         -- as `ipc.text.channel_address` reads it, kind and value
    account_id  INTEGER NOT NULL,         -- an access hash holds for one account only
    channel_id  INTEGER NOT NULL,
    access_hash INTEGER NOT NULL,         -- 0: it does not hold any more
    PRIMARY KEY (address, account_id)
) STRICT, WITHOUT ROWID;

-- When an address was first configured: what is posted from then on is taken, even if the channel is opened later.
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
    columns INTEGER NOT NULL DEFAULT 1,   -- which version of them the rows have: `ipc.files.rows.VERSION`
    UNIQUE (url, prefix, columns)
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
    hidden_at       INTEGER,              -- Unix seconds: its row is not for readers since then
    hidden_by       TEXT    CHECK (hidden_by IN ('caption', 'operator', 'block')), -- operator and not hidden: by the
                                          -- operator's word readers see it, whatever its caption says until an edit
    -- the picture
    generation      INTEGER NOT NULL,     -- grows when the message gets another picture; names the spool folder
    kind            TEXT    NOT NULL DEFAULT 'photo' CHECK (kind IN ('photo', 'video')), -- video: it is a video's poster
    photo_id        INTEGER,              -- Telegram's; NULL where the source does not know it
    identity        TEXT    NOT NULL,     -- changes exactly when the picture changes
    source          TEXT    NOT NULL CHECK (source IN ('telegram', 'export', 'queue')), -- where its bytes come from
    locator         BLOB    NOT NULL,     -- msgpack map: how the source finds the bytes again
    sha256          TEXT,                 -- of the original, from fetched on
    bytes           INTEGER,
    mime            TEXT,                 -- from rendered on
    extension       TEXT,
    width           INTEGER,              -- pixels, upright
    height          INTEGER,
    renditions      BLOB,                 -- msgpack array of [width, height, format, bytes]
    rendition_bytes INTEGER NOT NULL,
    recipe          TEXT,                 -- what they were made by, 8 hex digits; NULL: a version before there were any
    stripped_bytes  INTEGER,              -- of the stripped original; 0: it can't be stripped; NULL: not tried
    appearance      BLOB,                 -- msgpack array, `ipc.jobs.Appearance`; NULL: rendered before there was any
    preview_bytes   INTEGER,              -- of the picture for link cards; 0: there is none; NULL: not tried
    stored          INTEGER NOT NULL,     -- 1: every object is in the storage
    original        TEXT,                 -- what of the original is there, once stored: stripped, as_is or none
    address         INTEGER REFERENCES addresses (id), -- what its row's URLs begin with; NULL: not recorded
    doubted         TEXT,                 -- sha256 of an original that could not be decoded, and was fetched again
    doubts          INTEGER NOT NULL DEFAULT 0, -- how often that was
    -- the work
    priority        INTEGER NOT NULL,     -- what is posted now goes before backfill; lowest first
    attempts        INTEGER NOT NULL,     -- failures in this state
    next_at         REAL    NOT NULL,     -- Unix seconds: not before
    claimed_by      TEXT,                 -- the image worker that has it; machines: it is handed over to another machine
    deaths          INTEGER NOT NULL,     -- image workers that this picture killed
    alone           INTEGER NOT NULL,     -- 1: its next try is by itself, under the larger memory cap
    dead_state      TEXT,                 -- the state in which it died
    -- of a dead one; poison: it killed its workers; blocked: the operator keeps its picture out
    dead_cause      TEXT    CHECK (dead_cause IN ('failure', 'poison', 'blocked')),
    reason          TEXT,                 -- of the last failure, for people
    seen_at         INTEGER NOT NULL,
    published_at    INTEGER,              -- first time
    shown           INTEGER NOT NULL DEFAULT 0, -- 1: the catalogue has a row of it that readers see, or may have
    waits_since     INTEGER,              -- when it set out for its row, anew after an edit; NULL: published or dead
    life            BLOB    NOT NULL DEFAULT x'', -- its last steps, 6 bytes each (see `ipc.journal.life`)
    queue           TEXT GENERATED ALWAYS AS (  -- which process takes it, by the state; NULL: none
        CASE state WHEN 'seen' THEN source
                   WHEN 'fetched' THEN iif(claimed_by = 'machines', NULL, iif(alone, 'alone', 'render'))
                   WHEN 'rendered' THEN iif(stored, 'write', 'store') END
    ) VIRTUAL,
    UNIQUE (channel_id, message_id)
) STRICT;

-- Each queue in two parts: what was never put off, in the order of its turns, and what was, by when its time comes. So
-- the next job is found at the head of one of them, past any number of jobs that were put off. Telegram has a queue for each channel.
-- A statement repeats what an index leaves out, as `next_at != 0`: else SQLite can't know that the index will do.
CREATE INDEX jobs_ready ON jobs (queue, priority, id) WHERE queue IS NOT NULL AND next_at = 0;
CREATE INDEX jobs_put_off ON jobs (queue, priority, next_at) WHERE queue IS NOT NULL AND next_at != 0;
CREATE INDEX jobs_ready_by_channel ON jobs (channel_id, priority, id) WHERE queue = 'telegram' AND next_at = 0;
CREATE INDEX jobs_put_off_by_channel ON jobs (channel_id, priority, next_at) WHERE queue = 'telegram' AND next_at != 0;
CREATE INDEX jobs_later ON jobs (next_at) WHERE next_at != 0;
CREATE INDEX jobs_claimed ON jobs (id) WHERE claimed_by IS NOT NULL;
CREATE INDEX jobs_sha256 ON jobs (sha256) WHERE sha256 IS NOT NULL;
CREATE INDEX jobs_as_is ON jobs (sha256) WHERE original = 'as_is' AND stored = 1 AND renditions IS NOT NULL;
CREATE INDEX jobs_address ON jobs (address) WHERE state = 'published' AND deleted_at IS NULL;
CREATE INDEX jobs_dead ON jobs (id) WHERE state = 'dead';
CREATE INDEX jobs_dead_reason ON jobs (reason, id) WHERE state = 'dead';
CREATE INDEX jobs_poison ON jobs (id) WHERE dead_cause = 'poison';
CREATE INDEX jobs_still_shown ON jobs (id)
    WHERE state = 'dead' AND shown = 1 AND (deleted_at IS NOT NULL OR hidden_at IS NOT NULL);
CREATE INDEX jobs_waiting ON jobs (waits_since) WHERE waits_since IS NOT NULL;
CREATE INDEX jobs_album ON jobs (channel_id, grouped_id) WHERE grouped_id IS NOT NULL;

-- What there is in each state, by channel, kept by triggers in the transaction of the change: so neither /status nor
-- the spool's limit ever counts a million rows.
CREATE TABLE counts (
    state       TEXT    NOT NULL,
    channel_id  INTEGER NOT NULL,
    jobs        INTEGER NOT NULL,
    put_off     INTEGER NOT NULL,         -- those of them that have a next_at
    spool_bytes INTEGER NOT NULL,         -- of their files that the storage does not have yet
    PRIMARY KEY (state, channel_id)
) STRICT, WITHOUT ROWID;

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

-- The dead ones by reason, kept by triggers too: the page groups them, and shows the largest groups.
CREATE TABLE dead_reasons (
    reason TEXT PRIMARY KEY,
    jobs   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX dead_reasons_jobs ON dead_reasons (jobs);

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

-- The uploader's circuit breakers that are not closed: its next incarnation goes on from them.
CREATE TABLE breakers (
    service      TEXT PRIMARY KEY,        -- storage or catalog
    opened_at    REAL NOT NULL,           -- Unix seconds: first since the last success
    silent_until REAL NOT NULL,           -- not before
    error        TEXT NOT NULL,
    remedy       TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Pictures whose objects are being removed from the storage, since no row names them: until that is done, or has been
-- given up for long enough, no objects are stored under these digests.
CREATE TABLE removals (
    sha256 TEXT PRIMARY KEY,
    at     REAL NOT NULL                  -- Unix seconds: of the last request to the storage
) STRICT, WITHOUT ROWID;

-- Published pictures that are rendered anew (`republish --renditions`), while their row and their objects stay: wanted,
-- then making (the job is on its way once more), then moved (its row names the new objects, the old ones are to be
-- deleted). What the job was before is kept meanwhile: if the picture can't be rendered, or its message is edited, the
-- job is that again.
CREATE TABLE renewals (
    job            INTEGER PRIMARY KEY REFERENCES jobs (id),
    step           TEXT    NOT NULL CHECK (step IN ('wanted', 'making', 'moved', 'failed')),
    recipe         TEXT    NOT NULL, -- that it is to be rendered by
    next_at        REAL    NOT NULL, -- Unix seconds: not before; while it is made or moved: since when
    reason         TEXT, -- of a failed one: why its picture stays as it is
    was_stripped   INTEGER, -- 1: it is made of the published original without metadata
    priority       INTEGER, -- of its job before; so are the columns below
    appearance     BLOB,
    preview_bytes  INTEGER,
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

-- How many there are of each, kept by triggers.
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

-- What has changed for readers, in the order of the catalogue's rows: written in the transaction that records a row as
-- published, while somebody wants to know. What all consumers have passed is deleted.
CREATE TABLE changes (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    channel_id INTEGER NOT NULL,
    message_id INTEGER NOT NULL,
    what       TEXT    NOT NULL CHECK (what IN ('published', 'changed', 'deleted')),
    at         INTEGER NOT NULL           -- Unix seconds
) STRICT;

-- Who follows the changes: the feeds, the site, each webhook.
CREATE TABLE consumers (
    name     TEXT PRIMARY KEY,
    position INTEGER NOT NULL,            -- the change up to which it has done its work
    built    INTEGER NOT NULL DEFAULT 0   -- 1: what there was before its first change is done too
) STRICT, WITHOUT ROWID;

-- Takedown: pictures of posts that somebody has deleted or hidden, until their objects are gone. marked: deleted, the
-- tombstone is not written yet. waiting: the row that says so is there, and names no picture. leaving: the job does not
-- want it any more either, and the objects are deleted.
CREATE TABLE takedowns (
    job    INTEGER NOT NULL REFERENCES jobs (id),
    sha256 TEXT    NOT NULL,             -- of the picture: its job may forget it
    step   TEXT    NOT NULL CHECK (step IN ('replaced', 'marked', 'waiting', 'leaving')),
    at     REAL    NOT NULL,             -- Unix seconds: since when its row says so; of one that is leaving: not before
    looks  INTEGER NOT NULL DEFAULT 1,   -- how often its objects are looked for: twice if some were on their way
    PRIMARY KEY (job, sha256)
) STRICT, WITHOUT ROWID;
CREATE INDEX takedowns_turn ON takedowns (step, at);
CREATE INDEX takedowns_sha256 ON takedowns (sha256);

-- Addresses whose copies a CDN is to forget, since their objects are deleted.
CREATE TABLE purges (
    url    TEXT PRIMARY KEY,
    sha256 TEXT    NOT NULL,
    ready  INTEGER NOT NULL DEFAULT 0    -- 1: its object is gone: from now on no new copy is made
) STRICT, WITHOUT ROWID;
CREATE INDEX purges_ready ON purges (ready, url);
CREATE INDEX purges_sha256 ON purges (sha256);

-- How many there are at each step, and of purges, kept by triggers.
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

-- By which version this file was made: some defaults are others in an installation that was there before.
CREATE TABLE origin (
    version INTEGER NOT NULL              -- 0: an older one, brought up to date
) STRICT;
INSERT INTO origin VALUES (6);
-- Pictures that the operator keeps out for good, by the digest of their original.
CREATE TABLE blocked (
    sha256 TEXT PRIMARY KEY,
    at     INTEGER NOT NULL               -- Unix seconds
) STRICT, WITHOUT ROWID;

-- The posts that are hidden, since they have such a picture: a job forgets its picture when it is taken down.
CREATE TABLE blocked_posts (
    job    INTEGER PRIMARY KEY REFERENCES jobs (id),
    sha256 TEXT    NOT NULL
) STRICT;
CREATE INDEX blocked_posts_sha256 ON blocked_posts (sha256);

-- The webhooks of the settings, and what each has still to be told: moved here from `changes` in the transaction that
-- moves the webhook's position as a consumer.
CREATE TABLE webhooks (
    name          TEXT PRIMARY KEY,       -- "webhook:" and a digest of its URL: so `consumers` has it too
    kind          TEXT    NOT NULL CHECK (kind IN ('events', 'rebuild')),
    label         TEXT    NOT NULL,       -- for people: its place in the settings, its URL without secrets
    token         TEXT    NOT NULL,       -- random: the ids of its messages begin with it
    waiting       INTEGER NOT NULL DEFAULT 0, -- deliveries, kept by triggers
    dead          INTEGER NOT NULL DEFAULT 0, -- the same
    delivered     INTEGER NOT NULL DEFAULT 0, -- messages that it has accepted, or rebuilds
    failed        INTEGER NOT NULL DEFAULT 0, -- attempts that came to nothing
    attempts      INTEGER NOT NULL DEFAULT 0, -- of a rebuild: failures in a row
    next_at       REAL    NOT NULL DEFAULT 0, -- of a rebuild: Unix seconds, not before
    failing_since REAL,                   -- Unix seconds: the first failure since it last accepted something
    error         TEXT    NOT NULL DEFAULT '', -- of the last one
    remedy        TEXT    NOT NULL DEFAULT '',
    opened_at     REAL,                   -- Unix seconds: since when its circuit breaker is not closed
    silent_until  REAL,                   -- and until when nothing is sent
    gone_at       INTEGER                 -- Unix seconds: it has answered 410, and gets nothing more
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
    webhook    TEXT    NOT NULL REFERENCES webhooks (name),
    change     INTEGER NOT NULL,          -- its id in `changes`: their order
    channel_id INTEGER NOT NULL,
    message_id INTEGER NOT NULL,
    what       TEXT    NOT NULL CHECK (what IN ('published', 'changed', 'deleted')),
    at         INTEGER NOT NULL,          -- Unix seconds: of the change
    state      TEXT    NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'dead')),
    attempts   INTEGER NOT NULL DEFAULT 0, -- failures that were its own
    next_at    REAL    NOT NULL DEFAULT 0, -- Unix seconds: not before
    reason     TEXT,                      -- of the last failure
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

-- The gallery. A channel's posts are in blocks by message id, each with a page of its own: one reaches from `first_id` up
-- to the next one's. So a change touches few pages, however many posts there are.
CREATE TABLE site_blocks (
    channel_id INTEGER NOT NULL,
    first_id   INTEGER NOT NULL,          -- of a message; 0 for the lowest block
    is_read    INTEGER NOT NULL DEFAULT 0, -- 0: what is in it is not known yet
    posts      INTEGER NOT NULL DEFAULT 0, -- that readers see
    newest     TEXT    NOT NULL DEFAULT '', -- path of the newest post's page
    oldest     TEXT    NOT NULL DEFAULT '',
    oldest_at  TEXT    NOT NULL DEFAULT '', -- when that was posted, ISO 8601
    PRIMARY KEY (channel_id, first_id)
) STRICT, WITHOUT ROWID;

-- The gallery's channels as its front page names them.
CREATE TABLE site_channels (
    channel_id INTEGER PRIMARY KEY,
    title      TEXT    NOT NULL DEFAULT '',
    name       TEXT,
    posts      INTEGER NOT NULL DEFAULT 0,
    newest_at  TEXT    NOT NULL DEFAULT '' -- ISO 8601
) STRICT;
CREATE INDEX site_channels_newest ON site_channels (newest_at) WHERE posts > 0;

-- The documents of the gallery that are there. A digest that is empty: it is not known what is in it.
CREATE TABLE site_pages (
    path       TEXT PRIMARY KEY,
    kind       TEXT    NOT NULL CHECK (kind IN ('post', 'page', 'asset', 'sitemap')),
    digest     BLOB    NOT NULL,
    channel_id INTEGER,                   -- of a post
    first_id   INTEGER,                   -- its lowest message
    changed_at TEXT                       -- ISO 8601
) STRICT, WITHOUT ROWID;
CREATE INDEX site_pages_post ON site_pages (channel_id, first_id) WHERE kind = 'post';
CREATE INDEX site_pages_kind ON site_pages (kind, path) WHERE kind IN ('asset', 'sitemap');

-- What of the gallery is to be made, the lowest rank first: what is live before what is built.
CREATE TABLE site_tasks (
    what       TEXT    NOT NULL CHECK (what IN ('assets', 'block', 'channel', 'index', 'chunk', 'sitemap', 'tidy')),
    channel_id INTEGER NOT NULL DEFAULT 0,
    number     INTEGER NOT NULL DEFAULT 0, -- first_id of a block; of a chunk of the sitemap
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

-- Of what version the gallery's pages are, and where they are. No row: there is no gallery.
CREATE TABLE site (id INTEGER PRIMARY KEY CHECK (id = 1), version TEXT NOT NULL, place TEXT NOT NULL) STRICT;

-- This machine among others: as an origin it signs what it hands over with that, as a node it is called by it.
CREATE TABLE machine (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    id       TEXT    NOT NULL,            -- 12 hex digits, random
    last_job INTEGER NOT NULL DEFAULT 0   -- the highest id of a job that is forgotten: none is given twice
) STRICT;
INSERT INTO machine (one, id) VALUES (1, lower(hex(randomblob(6))));

-- An origin's jobs that are handed over to other machines. Such a job stays `fetched`, claimed by "machines", and its
-- original stays in the spool until its result is here.
CREATE TABLE claims (
    number     INTEGER PRIMARY KEY AUTOINCREMENT, -- is in the key of the hand-over: none is given twice
    job        INTEGER NOT NULL UNIQUE REFERENCES jobs (id),
    generation INTEGER NOT NULL,          -- of the job, when it was claimed; so is
    revision   INTEGER NOT NULL,
    token      TEXT    NOT NULL,          -- random: the original's name in the bucket, where everybody may read by name
    step       TEXT    NOT NULL CHECK (step IN ('claimed', 'put', 'handed')), -- its original is there; it is in the queue
    at         REAL    NOT NULL           -- Unix seconds: of that step
) STRICT;
CREATE INDEX claims_step ON claims (step, number);

-- What is left of a claim that has ended: its original in the bucket is to be deleted, and the hand-over to be taken out
-- of the queue, should it be there still. A node that has it in hand finds that its receipt does not hold any more.
CREATE TABLE claim_leftovers (
    token TEXT PRIMARY KEY,
    key   TEXT NOT NULL                   -- of the hand-over
) STRICT, WITHOUT ROWID;

-- A claim ends with whatever takes its job out of the machines' hands: its result, a change of the message, the operator.
CREATE TRIGGER claim_ends AFTER UPDATE OF claimed_by, generation ON jobs
WHEN OLD.claimed_by = 'machines' AND (NEW.claimed_by IS NOT 'machines' OR NEW.generation IS NOT OLD.generation)
BEGIN
    INSERT INTO claim_leftovers (token, key)
    SELECT token, printf('%s:%d:%d:%d:%d', machine.id, OLD.channel_id, OLD.message_id, generation, number)
    FROM claims CROSS JOIN machine WHERE claims.job = OLD.id;
    DELETE FROM claims WHERE job = OLD.id;
END;

-- A node's jobs, which it has taken out of a queue and has under lease. The answer is sent with the receipt: queue,
-- message and how often that was read.
CREATE TABLE taken (
    job      INTEGER PRIMARY KEY REFERENCES jobs (id),
    key      TEXT    NOT NULL UNIQUE,     -- of the hand-over
    origin   TEXT    NOT NULL,            -- whose it is
    queue    TEXT    NOT NULL,
    msg_id   INTEGER NOT NULL,
    read_ct  INTEGER NOT NULL,
    terms    BLOB    NOT NULL,            -- msgpack map: how the origin wants it rendered and published
    taken_at REAL    NOT NULL             -- Unix seconds
) STRICT;

-- What became of them, by origin. These only grow.
CREATE TABLE origins (
    origin    TEXT PRIMARY KEY,
    published INTEGER NOT NULL DEFAULT 0,
    dead      INTEGER NOT NULL DEFAULT 0,
    returned  INTEGER NOT NULL DEFAULT 0, -- untouched, for others
    lost      INTEGER NOT NULL DEFAULT 0, -- its lease was over, or the origin has taken it back
    last_at   REAL    NOT NULL DEFAULT 0  -- Unix seconds: when one was last taken
) STRICT, WITHOUT ROWID;

-- A node forgets a job once its answer is given, and what refers to it. A worker, a folder or a row on its way may still
-- bear its id: no other job gets that.
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

-- How long the work of a stage on one picture took, and a live post from its posting to its row: how many were within
-- each bound, and above the bound below. These only grow.
CREATE TABLE durations (
    name    TEXT    NOT NULL,             -- fetch, render, store, write or post_to_row
    bound   REAL    NOT NULL,             -- seconds; infinite for the longest
    count   INTEGER NOT NULL,
    seconds REAL    NOT NULL,             -- of all of them together
    PRIMARY KEY (name, bound)
) STRICT, WITHOUT ROWID;

-- How the work of a stage on one picture ended, but for what `durations` has. These only grow.
CREATE TABLE outcomes (
    stage   TEXT    NOT NULL,
    outcome TEXT    NOT NULL,             -- one of `ipc.journal.statistics.OUTCOMES`
    count   INTEGER NOT NULL,
    PRIMARY KEY (stage, outcome)
) STRICT, WITHOUT ROWID;

-- Pictures published for the first time: by minute for some days, by channel and hour for two. The newest hour of a
-- channel stays, however old.
CREATE TABLE minutes (
    minute    INTEGER PRIMARY KEY,        -- Unix seconds / 60
    published INTEGER NOT NULL
) STRICT;

CREATE TABLE hours (
    channel_id INTEGER NOT NULL,
    hour       INTEGER NOT NULL,          -- Unix seconds / 3600
    published  INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,          -- Unix seconds: of the last one
    PRIMARY KEY (channel_id, hour)
) STRICT, WITHOUT ROWID;

-- Also what the clock dated ahead, before it was set back.
CREATE TRIGGER minute_begins AFTER INSERT ON minutes BEGIN
    DELETE FROM minutes WHERE minute < NEW.minute - 4320;
    DELETE FROM minutes WHERE minute > NEW.minute + 60;
END;

CREATE TRIGGER hour_begins AFTER INSERT ON hours BEGIN
    DELETE FROM hours WHERE channel_id = NEW.channel_id AND hour < NEW.hour - 48;
    DELETE FROM hours WHERE channel_id = NEW.channel_id AND hour > NEW.hour + 1;
END;

-- How often each child ended, and of what. These only grow.
CREATE TABLE restarts (
    child TEXT    NOT NULL,
    cause TEXT    NOT NULL,               -- one of `ipc.transport.exits.Cause`
    count INTEGER NOT NULL,
    PRIMARY KEY (child, cause)
) STRICT, WITHOUT ROWID;

-- The last ends of each child that are in `restarts`: a health process that is new hears of them again.
CREATE TABLE counted_ends (
    id            INTEGER PRIMARY KEY,
    child         TEXT    NOT NULL,
    at            INTEGER NOT NULL,       -- Unix seconds
    lived_seconds REAL    NOT NULL,
    UNIQUE (child, at, lived_seconds)
) STRICT;

CREATE TRIGGER end_is_counted AFTER INSERT ON counted_ends BEGIN
    DELETE FROM counted_ends WHERE child = NEW.child AND id <= (
        SELECT id FROM counted_ends WHERE child = NEW.child ORDER BY id DESC LIMIT 1 OFFSET 100
    );
END;
