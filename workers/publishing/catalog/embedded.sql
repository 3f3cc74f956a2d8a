-- The embedded catalogue: the same tables, views and columns as the hosted one. Times are ISO 8601 in UTC, lists and
-- objects are JSON, truth values 0 and 1. What a file of an earlier version lacks of this is in embedded.py.

CREATE TABLE IF NOT EXISTS channels (
    id         INTEGER PRIMARY KEY,
    title      TEXT NOT NULL,
    name       TEXT
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
    hidden_at      TEXT,
    alt            TEXT,
    tags           TEXT    CHECK (json_type(tags) = 'array'),
    is_cover       INTEGER NOT NULL DEFAULT 0,
    caption_html   TEXT,
    caption_shown  TEXT,
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
    -- An array of {width, height, format, bytes, key, url}, by width, and of one width webp, avif, jpeg.
    renditions TEXT    NOT NULL CHECK (json_valid(renditions)),
    kind       TEXT    CHECK (kind IN ('photo', 'animation', 'video')),
    preview    TEXT    CHECK (json_type(preview) = 'object'),
    thumbhash  TEXT,
    color      TEXT,
    phash      INTEGER,
    has_alpha  INTEGER,
    animated   INTEGER,
    alt        TEXT,
    PRIMARY KEY (channel_id, message_id),
    FOREIGN KEY (channel_id, message_id) REFERENCES messages (channel_id, message_id)
) STRICT;

-- The tags of each message that is neither deleted nor hidden: a page of a tag is read from an index of it.
CREATE TABLE IF NOT EXISTS message_tags (
    channel_id INTEGER NOT NULL,
    message_id INTEGER NOT NULL,
    tag        TEXT    NOT NULL,
    posted_at  TEXT    NOT NULL,
    PRIMARY KEY (channel_id, message_id, tag),
    FOREIGN KEY (channel_id, message_id) REFERENCES messages (channel_id, message_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS images_sha256 ON images (sha256);
CREATE INDEX IF NOT EXISTS messages_posted_at ON messages (posted_at, channel_id, message_id)
    WHERE deleted_at IS NULL AND hidden_at IS NULL;
CREATE INDEX IF NOT EXISTS messages_channel_posted_at ON messages (channel_id, posted_at, message_id);
CREATE INDEX IF NOT EXISTS messages_grouped_id ON messages (channel_id, grouped_id) WHERE grouped_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS message_tags_tag ON message_tags (tag, posted_at, channel_id, message_id);

-- What a site shows: one row a picture that is neither deleted nor hidden. CROSS JOIN keeps the order of the tables: a
-- page is read from an index of the first one.
CREATE VIEW IF NOT EXISTS pictures AS
SELECT
    message.channel_id AS channel_id,
    channel.name AS channel_name,
    channel.title AS channel_title,
    message.message_id AS message_id,
    message.grouped_id AS grouped_id,
    CASE WHEN message.grouped_id IS NULL THEN 1 ELSE (
        SELECT 1 + count(*)
        FROM messages AS other
        WHERE other.channel_id = message.channel_id
          AND other.grouped_id = message.grouped_id
          AND other.deleted_at IS NULL
          AND other.hidden_at IS NULL
          AND (NOT other.is_cover, other.message_id) < (NOT message.is_cover, message.message_id)
    ) END AS album_position,
    message.posted_at AS posted_at,
    message.edited_at AS edited_at,
    'https://t.me/' || coalesce(channel.name, 'c/' || message.channel_id) || '/' || message.message_id AS post_url,
    coalesce(message.caption_shown, message.caption) AS caption,
    coalesce(message.caption_html, replace(replace(replace(replace(replace(
        message.caption, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), char(10), '<br>')) AS caption_html,
    message.tags AS tags,
    message.alt AS alt,
    image.kind AS kind,
    image.width AS width,
    image.height AS height,
    (
        SELECT one.value ->> '$.url'
        FROM json_each(image.renditions) AS one
        ORDER BY
            CASE one.value ->> '$.format' WHEN 'jpeg' THEN 0 WHEN 'webp' THEN 1 ELSE 2 END,
            one.value ->> '$.width' DESC
        LIMIT 1
    ) AS src,
    (
        SELECT group_concat(candidate, ', ')
        FROM (
            SELECT (one.value ->> '$.url') || ' ' || (one.value ->> '$.width') || 'w' AS candidate
            FROM json_each(image.renditions) AS one
            WHERE one.value ->> '$.format' = 'avif'
            ORDER BY one.value ->> '$.width'
        )
    ) AS srcset_avif,
    (
        SELECT group_concat(candidate, ', ')
        FROM (
            SELECT (one.value ->> '$.url') || ' ' || (one.value ->> '$.width') || 'w' AS candidate
            FROM json_each(image.renditions) AS one
            WHERE one.value ->> '$.format' = 'webp'
            ORDER BY one.value ->> '$.width'
        )
    ) AS srcset_webp,
    image.preview ->> '$.url' AS preview_url,
    image.color AS color,
    image.thumbhash AS thumbhash,
    image.phash AS phash,
    image.has_alpha AS has_alpha,
    image.animated AS animated
FROM messages AS message
CROSS JOIN images AS image ON image.channel_id = message.channel_id AND image.message_id = message.message_id
CROSS JOIN channels AS channel ON channel.id = message.channel_id
WHERE message.deleted_at IS NULL AND message.hidden_at IS NULL;

-- The same rows, once for each of their tags. What they are ordered by is the index's own.
CREATE VIEW IF NOT EXISTS pictures_by_tag AS
SELECT
    tagged.tag AS tag, tagged.channel_id AS channel_id, picture.channel_name AS channel_name,
    picture.channel_title AS channel_title, tagged.message_id AS message_id, picture.grouped_id AS grouped_id,
    picture.album_position AS album_position, tagged.posted_at AS posted_at, picture.edited_at AS edited_at,
    picture.post_url AS post_url, picture.caption AS caption, picture.caption_html AS caption_html,
    picture.tags AS tags, picture.alt AS alt, picture.kind AS kind, picture.width AS width, picture.height AS height,
    picture.src AS src, picture.srcset_avif AS srcset_avif, picture.srcset_webp AS srcset_webp,
    picture.preview_url AS preview_url, picture.color AS color, picture.thumbhash AS thumbhash,
    picture.phash AS phash, picture.has_alpha AS has_alpha, picture.animated AS animated
FROM message_tags AS tagged
CROSS JOIN pictures AS picture
    ON picture.channel_id = tagged.channel_id AND picture.message_id = tagged.message_id;
