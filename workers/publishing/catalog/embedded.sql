-- The embedded catalogue: the same tables and columns as the hosted one. Times are ISO 8601 in UTC.
-- What a file of version 0 lacks of this is in embedded.py.

CREATE TABLE IF NOT EXISTS channels (
    id         INTEGER PRIMARY KEY,
    title      TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS messages (
    channel_id     INTEGER NOT NULL REFERENCES channels (id),
    message_id     INTEGER NOT NULL,
    revision       INTEGER NOT NULL,
    grouped_id     INTEGER,
    caption        TEXT    NOT NULL,
    posted_at      TEXT    NOT NULL,
    edited_at      TEXT,
    deleted_at     TEXT,
    entities       TEXT    NOT NULL DEFAULT '[]' CHECK (json_type(entities) = 'array'),
    forwarded_from TEXT    CHECK (json_type(forwarded_from) = 'object'),
    reply_to       INTEGER,
    PRIMARY KEY (channel_id, message_id)
) STRICT;

CREATE TABLE IF NOT EXISTS images (
    channel_id INTEGER NOT NULL,
    message_id INTEGER NOT NULL,
    photo_id   INTEGER,
    sha256     TEXT    NOT NULL,
    mime       TEXT    NOT NULL,
    width      INTEGER NOT NULL,
    height     INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    -- An array of {width, height, format, bytes, key, url}, by width, and of one width webp before avif.
    renditions TEXT    NOT NULL CHECK (json_valid(renditions)),
    PRIMARY KEY (channel_id, message_id),
    FOREIGN KEY (channel_id, message_id) REFERENCES messages (channel_id, message_id)
) STRICT;

CREATE INDEX IF NOT EXISTS images_sha256 ON images (sha256);
