-- Every statement that the journal runs, by name. A block begins with `-- name:` and one line on what it is for.

-- name: channel_range
-- What is known of one channel: its range of messages, and what was passed over there.
SELECT floor, cursor, backfilled, ignored FROM channels WHERE id = :id;

-- name: add_channel
INSERT INTO channels (id, title, name, floor, cursor, backfilled, ignored)
VALUES (:id, :title, nullif(:name, ''), :floor, :cursor, 0, :ignored);

-- name: move_channel
-- The channel as last seen; its range only grows. A name that the source does not know stays.
UPDATE channels SET title = :title, name = nullif(coalesce(:name, name), ''),
                    floor = min(floor, :floor), cursor = max(cursor, :cursor),
                    backfilled = backfilled + :backfilled, ignored = :ignored
WHERE id = :id;

-- name: known_message
-- What is recorded of a message.
SELECT * FROM jobs WHERE channel_id = :channel_id AND message_id = :message_id;

-- name: add_job
-- A message that was never seen before. Its id is higher than that of any job that is forgotten.
INSERT INTO jobs (id, channel_id, message_id, state, priority, revision, digest, grouped_id, caption, entities,
                  forwarded_from, reply_to, posted_at, edited_at, generation, kind, photo_id, identity, source, locator,
                  rendition_bytes, stored, doubts, attempts, next_at, deaths, alone, seen_at, waits_since, life)
VALUES ((SELECT 1 + max(last_job, coalesce((SELECT max(id) FROM jobs), 0)) FROM machine WHERE one = 1),
        :channel_id, :message_id, 'seen', :priority, :revision, :digest, :grouped_id, :caption, :entities,
        :forwarded_from, :reply_to, :posted_at, :edited_at, 1, :kind, :photo_id, :identity, :source, :locator,
        0, 0, 0, 0, 0, 0, 0, :now, :now, :step);

-- name: relocate
-- The same picture, found in another place (an export that was moved, or seen live).
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                locator = :locator, identity = :identity, source = :source, kind = :kind,
                photo_id = coalesce(:photo_id, photo_id)
WHERE id = :id;

-- name: edit_message
-- The message was edited, its picture is the same: a published row is written again, nothing is rendered.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                waits_since = iif(state = 'published', :now, waits_since),
                revision = :revision, digest = :digest, grouped_id = :grouped_id, caption = :caption,
                entities = :entities, forwarded_from = :forwarded_from, reply_to = :reply_to,
                posted_at = :posted_at, edited_at = :edited_at,
                state = iif(state = 'published', 'rendered', state),
                attempts = iif(state = 'published', 0, attempts), next_at = iif(state = 'published', 0, next_at)
WHERE id = :id;

-- name: change_picture
-- The message has another picture, or has one again: it starts again as a new generation. Its row may be there, and not
-- be recorded yet: then readers may have seen it.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                waits_since = :now, shown = shown OR (state = 'rendered' AND stored = 1 AND deleted_at IS NULL AND hidden_at IS NULL),
                state = 'seen', revision = :revision, digest = :digest, grouped_id = :grouped_id, caption = :caption,
                entities = :entities, forwarded_from = :forwarded_from, reply_to = :reply_to,
                posted_at = :posted_at, edited_at = :edited_at, deleted_at = NULL, generation = generation + 1,
                kind = :kind, photo_id = :photo_id, identity = :identity, source = :source,
                locator = :locator, sha256 = NULL,
                bytes = NULL, mime = NULL, extension = NULL, width = NULL, height = NULL, renditions = NULL,
                rendition_bytes = 0, recipe = NULL, stripped_bytes = NULL, appearance = NULL, preview_bytes = NULL,
                original = NULL, stored = 0, attempts = 0, next_at = 0,
                claimed_by = NULL, deaths = 0, alone = 0, doubted = NULL, doubts = 0, dead_state = NULL,
                dead_cause = NULL, reason = NULL
WHERE id = :id;

-- name: withdraw
-- The message is gone. Only its tombstone has to be written; a worker that has its picture finds another generation.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                waits_since = :now, shown = shown OR (state = 'rendered' AND stored = 1 AND deleted_at IS NULL AND hidden_at IS NULL),
                state = 'rendered', stored = 1, deleted_at = :now, revision = :revision, generation = generation + 1,
                attempts = 0, next_at = 0, claimed_by = NULL, deaths = 0, alone = 0, dead_state = NULL,
                dead_cause = NULL, reason = NULL
WHERE id = :id AND deleted_at IS NULL;

-- name: hide
-- Readers must not see it: a row that they see is written again. One that is hidden already is so from then on.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                shown = shown OR (state = 'rendered' AND stored = 1 AND deleted_at IS NULL AND hidden_at IS NULL),
                hidden_at = coalesce(hidden_at, :now), hidden_by = :hidden_by,
                revision = max(revision + 1, :revision),
                waits_since = iif(state = 'published' AND shown = 1, :now, waits_since),
                attempts = iif(state = 'published' AND shown = 1, 0, attempts),
                next_at = iif(state = 'published' AND shown = 1, 0, next_at),
                state = iif(state = 'published' AND shown = 1, 'rendered', state)
WHERE id = :id AND deleted_at IS NULL;

-- name: hide_unready
-- Readers see a row of it, and its files are not in the storage: the row is written at once, without a picture. A worker
-- that has its picture finds another generation.
UPDATE jobs SET waits_since = :now, state = 'rendered', stored = 1, generation = generation + 1,
                sha256 = NULL, bytes = NULL, mime = NULL, extension = NULL, width = NULL, height = NULL,
                renditions = NULL, rendition_bytes = 0, recipe = NULL, stripped_bytes = NULL, appearance = NULL,
                preview_bytes = NULL, original = NULL, attempts = 0, next_at = 0, claimed_by = NULL, deaths = 0,
                alone = 0, doubted = NULL, doubts = 0, dead_state = NULL, dead_cause = NULL, reason = NULL
WHERE id = :id AND shown = 1 AND NOT (state = 'published' OR (state = 'rendered' AND stored = 1));

-- name: unhide
-- Readers may see it: a row that is written is written again.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                hidden_at = NULL, hidden_by = :hidden_by, revision = max(revision + 1, :revision),
                waits_since = iif(state = 'published', :now, waits_since),
                attempts = iif(state = 'published', 0, attempts), next_at = iif(state = 'published', 0, next_at),
                state = iif(state = 'published', 'rendered', state)
WHERE id = :id;

-- name: unhide_unready
-- Its row has no picture, as its files are gone: they are fetched, rendered and stored again. So they are of one that
-- died on its way to that row, should it be brought back.
UPDATE jobs SET state = iif(state = 'dead', state, 'seen'), dead_state = iif(state = 'dead', 'seen', NULL), stored = 0,
                generation = generation + 1, next_at = 0
WHERE id = :id AND 'rendered' IN (state, dead_state) AND stored = 1 AND sha256 IS NULL AND deleted_at IS NULL;

-- name: album
-- The jobs of an album's pictures, deleted ones aside.
SELECT * FROM jobs INDEXED BY jobs_album
WHERE channel_id = :channel_id AND grouped_id = :grouped_id AND grouped_id IS NOT NULL AND deleted_at IS NULL;

-- name: blocked
-- Which of these digests (a JSON array) the operator keeps out.
SELECT sha256 FROM blocked WHERE sha256 IN (SELECT value FROM json_each(:sha256s));

-- name: all_blocked
SELECT sha256, at FROM blocked ORDER BY sha256;

-- name: add_blocked
INSERT INTO blocked (sha256, at) VALUES (:sha256, :now) ON CONFLICT (sha256) DO NOTHING;

-- name: drop_blocked
DELETE FROM blocked WHERE sha256 = :sha256;

-- name: add_blocked_post
INSERT INTO blocked_posts (job, sha256) VALUES (:id, :sha256)
ON CONFLICT (job) DO UPDATE SET sha256 = excluded.sha256;

-- name: blocked_posts
-- The pictures for which some of these jobs (a JSON array of ids) were hidden.
SELECT sha256 FROM blocked_posts WHERE job IN (SELECT value FROM json_each(:jobs));

-- name: drop_blocked_posts
-- The jobs that were hidden for that picture.
DELETE FROM blocked_posts NOT INDEXED WHERE job IN (
    SELECT job FROM blocked_posts INDEXED BY blocked_posts_sha256 WHERE sha256 = :sha256
) RETURNING job;

-- name: to_blocked
-- The picture is kept out: it goes no further, and its file is not kept. Tried again, it is fetched first.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                waits_since = NULL, state = 'dead', dead_state = 'seen', dead_cause = 'blocked', stored = 0,
                attempts = attempts + 1, next_at = 0, reason = :reason, claimed_by = NULL
WHERE id = :id AND state IN ('seen', 'fetched');

-- name: to_blocked_dead
-- A dead letter needs none of the objects that it has stored: tried again, it is fetched first.
UPDATE jobs SET dead_state = 'seen', stored = 0 WHERE id = :id AND state = 'dead' AND dead_state = 'rendered';

-- name: still_shown
-- The dead letters of deleted and hidden posts whose row readers see as before, up to a limit.
SELECT count(*) FROM (
    SELECT 1 FROM jobs INDEXED BY jobs_still_shown
    WHERE state = 'dead' AND shown = 1 AND (deleted_at IS NOT NULL OR hidden_at IS NOT NULL) LIMIT :limit
);

-- name: blocked_dead
-- The dead letters that went no further since that picture is blocked.
SELECT id FROM jobs INDEXED BY jobs_sha256
WHERE sha256 = :sha256 AND sha256 IS NOT NULL AND state = 'dead' AND dead_cause = 'blocked';

-- name: jobs_of_picture
-- The jobs with that picture, whatever their state, deleted messages aside.
SELECT * FROM jobs INDEXED BY jobs_sha256 WHERE sha256 = :sha256 AND sha256 IS NOT NULL AND deleted_at IS NULL;

-- name: messages_between
-- The messages of a channel that have a picture, as far as is known.
SELECT message_id FROM jobs
WHERE channel_id = :channel_id AND message_id BETWEEN :low AND :high AND deleted_at IS NULL;

-- name: due
-- The jobs of these queues (a JSON list) whose turn comes first: of those without a claim, by priority, those that were
-- put off and whose time has come (or is impossibly far off: the clock was set back), by that time, then the oldest.
-- `exclude` (a JSON list of ids) asks for others than these. No more is read, and sorted, than is asked for.
WITH parts (priority, low, high) AS (
    VALUES (0, 0.0, :now), (0, :farthest, 9e999), (1, 0.0, :now), (1, :farthest, 9e999), (2, 0.0, :now),
           (2, :farthest, 9e999)
)
SELECT jobs.* FROM (
    SELECT jobs.id, jobs.priority, next_at
    FROM json_each(:queues) AS one CROSS JOIN parts CROSS JOIN jobs ON jobs.id IN (
        SELECT id FROM jobs INDEXED BY jobs_put_off
        WHERE queue = one.value AND priority = parts.priority AND next_at != 0 AND next_at > low AND next_at <= high
              AND claimed_by IS NULL AND (:exclude IS NULL OR id NOT IN (SELECT value FROM json_each(:exclude)))
        ORDER BY next_at LIMIT :limit
    )
    UNION ALL
    SELECT jobs.id, jobs.priority, 9e999 FROM json_each(:queues) AS one CROSS JOIN jobs ON jobs.id IN (
        SELECT id FROM jobs INDEXED BY jobs_ready
        WHERE queue = one.value AND next_at = 0
              AND claimed_by IS NULL AND (:exclude IS NULL OR id NOT IN (SELECT value FROM json_each(:exclude)))
        ORDER BY priority, id LIMIT :limit
    )
    ORDER BY 2, 3, 1 LIMIT :limit
) AS turn CROSS JOIN jobs ON jobs.id = turn.id;

-- name: first_to_fetch
-- The first job to fetch of each of Telegram's channels (a JSON list of ids) that was never put off, and for each
-- priority the first one that was put off and whose time has come (or is impossibly far off). Jobs that are
-- before them elsewhere, or wait for later, are not read.
WITH parts (priority, low, high) AS (
    VALUES (0, 0.0, :now), (0, :farthest, 9e999), (1, 0.0, :now), (1, :farthest, 9e999), (2, 0.0, :now),
           (2, :farthest, 9e999)
)
SELECT jobs.* FROM json_each(:channels) AS channel JOIN jobs ON jobs.id = (
    SELECT id FROM jobs INDEXED BY jobs_ready_by_channel
    WHERE channel_id = channel.value AND queue = 'telegram' AND next_at = 0
          AND id NOT IN (SELECT value FROM json_each(:exclude))
    ORDER BY priority, id LIMIT 1
)
UNION ALL
SELECT jobs.* FROM json_each(:channels) AS channel CROSS JOIN parts CROSS JOIN jobs ON jobs.id = (
    SELECT id FROM jobs INDEXED BY jobs_put_off_by_channel
    WHERE channel_id = channel.value AND queue = 'telegram' AND priority = parts.priority
          AND next_at != 0 AND next_at > low AND next_at <= high
          AND id NOT IN (SELECT value FROM json_each(:exclude))
    ORDER BY next_at LIMIT 1
);

-- name: jobs_before
-- How many jobs that were never put off come before one in its queue, up to a limit.
SELECT count(*) FROM (
    SELECT 1 FROM jobs INDEXED BY jobs_ready
    WHERE queue = :queue AND next_at = 0 AND (priority, id) < (:priority, :id) LIMIT :limit
);

-- name: job
SELECT * FROM jobs WHERE id = :id;

-- name: claim
-- From now on the worker's death counts against the picture.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                claimed_by = :worker
WHERE id = :id AND generation = :generation AND state = 'fetched' AND claimed_by IS NULL;

-- name: release_claims
-- The pool is new: the jobs that its predecessor had given out are given out again. What other machines have stays theirs.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                claimed_by = NULL
WHERE claimed_by IS NOT NULL AND claimed_by != 'machines' AND state = 'fetched';

-- name: release
-- The worker gives the job back untouched.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                claimed_by = NULL
WHERE id = :id AND generation = :generation AND state = 'fetched' AND claimed_by IS NOT 'machines';

-- name: to_fetched
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                state = 'fetched', sha256 = :sha256, bytes = :bytes, attempts = 0, next_at = 0, reason = NULL
WHERE id = :id AND generation = :generation AND state = 'seen';

-- name: to_rendered
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                state = 'rendered', mime = :mime, extension = :extension, width = :width, height = :height,
                renditions = :renditions, rendition_bytes = :rendition_bytes, recipe = :recipe,
                stripped_bytes = :stripped_bytes, appearance = :appearance, preview_bytes = :preview_bytes, original = NULL,
                claimed_by = NULL, attempts = 0, next_at = 0, deaths = 0, alone = 0, reason = NULL
WHERE id = :id AND generation = :generation AND state = 'fetched';

-- name: mark_stored
-- Marks the jobs (a JSON array of [id, generation, original]) that are still as their caller saw them.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                stored = 1, original = json_extract(one.value, '$[2]') FROM json_each(:jobs) AS one
WHERE jobs.id = json_extract(one.value, '$[0]') AND generation = json_extract(one.value, '$[1]') AND state = 'rendered'
RETURNING jobs.id AS id;

-- name: to_published
-- Publishes the jobs (a JSON array of [id, generation, revision]) whose every object is stored, and whose written row is
-- that of the newest revision; otherwise the newer row is written next.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                waits_since = NULL,
                state = 'published', attempts = 0, next_at = 0, reason = NULL, address = coalesce(:address, address),
                published_at = iif(deleted_at IS NULL, coalesce(published_at, :now), published_at),
                shown = deleted_at IS NULL AND hidden_at IS NULL
FROM json_each(:jobs) AS one
WHERE jobs.id = json_extract(one.value, '$[0]') AND generation = json_extract(one.value, '$[1]')
      AND revision = json_extract(one.value, '$[2]') AND state = 'rendered' AND stored = 1
RETURNING jobs.id AS id;

-- name: correct_renditions
-- What is in the storage under their names was there before, and has other sizes.
UPDATE jobs SET renditions = :renditions WHERE id = :id AND generation = :generation AND state = 'rendered';

-- name: back_to_fetched
-- The spool has lost the job's renditions: they are made again.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                state = 'fetched', next_at = 0, renditions = NULL, rendition_bytes = 0, recipe = NULL,
                stripped_bytes = NULL, appearance = NULL, preview_bytes = NULL
WHERE id = :id AND generation = :generation AND state = 'rendered' AND stored = 0;

-- name: back_to_seen
-- The spool has lost the job's files (a power cut): they are fetched, rendered and stored again. A tombstone has none.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                state = 'seen', claimed_by = NULL, next_at = 0, renditions = NULL, rendition_bytes = 0, recipe = NULL,
                stripped_bytes = NULL, appearance = NULL, preview_bytes = NULL, original = NULL, stored = 0
WHERE id = :id AND generation = :generation AND state IN ('fetched', 'rendered') AND deleted_at IS NULL;

-- name: doubt
-- The original can't be decoded. Perhaps it came damaged: it is fetched again. The same bytes again are the verdict, as
-- is the limit of downloads with other bytes.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                state = 'seen', claimed_by = NULL, doubted = sha256, doubts = doubts + 1, attempts = 0, next_at = 0,
                reason = :reason
WHERE id = :id AND generation = :generation AND state = 'fetched' AND doubted IS NOT sha256 AND doubts < :limit;

-- name: postpone
-- Not now, for no fault of the job's: it keeps its attempts. Of postponements in a row, its life has the last.
UPDATE jobs SET life = substr(CAST(iif(substr(life, -2) = substr(:step, -2), substr(life, 1, length(life) - 6), life)
                                   || :step AS BLOB), -192),
                next_at = :next_at, reason = :reason, claimed_by = NULL
WHERE id = :id AND generation = :generation AND state = :state AND state IN ('seen', 'fetched', 'rendered');

-- name: try_later
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                attempts = attempts + 1, next_at = :next_at, reason = :reason, claimed_by = NULL,
                alone = max(alone, :alone)
WHERE id = :id AND generation = :generation AND state = :state AND state IN ('seen', 'fetched', 'rendered');

-- name: strike
-- The picture's worker died of it, or ran out of memory: it is tried again at once, by itself where memory was short.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                deaths = deaths + 1, alone = max(alone, :alone), reason = :reason, claimed_by = NULL
WHERE id = :id AND generation = :generation AND state = 'fetched';

-- name: to_dead
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                waits_since = NULL,
                state = 'dead', dead_state = :state, dead_cause = :cause, attempts = attempts + 1, next_at = 0,
                reason = :reason, claimed_by = NULL
WHERE id = :id AND generation = :generation AND state = :state AND state IN ('seen', 'fetched', 'rendered');

-- name: revive
-- A dead letter goes on where it died, with a clean record; not one whose picture is blocked.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                waits_since = :now,
                state = dead_state, dead_state = NULL, dead_cause = NULL, reason = NULL, attempts = 0, deaths = 0,
                alone = 0, doubted = NULL, doubts = 0, next_at = 0
WHERE id = :id AND state = 'dead'
      AND NOT EXISTS (SELECT 1 FROM blocked WHERE blocked.sha256 = jobs.sha256);

-- name: revive_changed
-- A dead letter whose message says something else now, or whose file is to be found elsewhere: it goes on where it
-- died. What is known of its picture stays (`doubts`, `deaths`), as it is the same one; one that killed its workers
-- stays dead.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                waits_since = :now,
                state = dead_state, dead_state = NULL, dead_cause = NULL, reason = NULL, attempts = 0, next_at = 0
WHERE id = :id AND state = 'dead' AND dead_cause != 'poison'
      AND NOT EXISTS (SELECT 1 FROM blocked WHERE blocked.sha256 = jobs.sha256);

-- name: dead
SELECT * FROM jobs WHERE state = 'dead' ORDER BY id;

-- name: dead_reasons
-- The most frequent reasons of dead letters, and how many have each.
SELECT reason, jobs FROM dead_reasons INDEXED BY dead_reasons_jobs ORDER BY jobs DESC, reason DESC LIMIT :limit;

-- name: newest_dead
-- The newest dead letters of that reason, without what only their next try needs.
SELECT id, generation, channel_id, message_id, dead_state, dead_cause, attempts, reason
FROM jobs INDEXED BY jobs_dead_reason WHERE state = 'dead' AND reason IS :reason ORDER BY id DESC LIMIT :limit;

-- name: dead_beyond
-- The next dead letters beyond that id.
SELECT id FROM jobs INDEXED BY jobs_dead WHERE state = 'dead' AND id > :beyond ORDER BY id LIMIT :limit;

-- name: dead_of_reason_beyond
-- The same, of those of that reason.
SELECT id FROM jobs INDEXED BY jobs_dead_reason
WHERE state = 'dead' AND reason IS :reason AND id > :beyond ORDER BY id LIMIT :limit;

-- name: quarantined
-- The newest dead letters that killed their workers.
SELECT id, generation, channel_id, message_id, reason FROM jobs INDEXED BY jobs_poison
WHERE dead_cause = 'poison' ORDER BY id DESC LIMIT :limit;

-- name: known_pictures
-- Which of these digests (a JSON array) some message has, deleted ones aside, and dead letters that are kept out: these
-- are fetched anew, should they be let in.
SELECT value AS sha256 FROM json_each(:sha256s)
WHERE EXISTS (
    SELECT 1 FROM jobs INDEXED BY jobs_sha256
    WHERE sha256 = value AND sha256 IS NOT NULL AND deleted_at IS NULL
          AND NOT (state = 'dead' AND dead_state = 'seen' AND EXISTS (SELECT 1 FROM blocked WHERE sha256 = value))
);

-- name: posted_again
-- Which of these digests (a JSON array) more than one message has or has had.
SELECT value AS sha256 FROM json_each(:sha256s)
WHERE (
    SELECT 1 FROM jobs INDEXED BY jobs_sha256 WHERE sha256 = value AND sha256 IS NOT NULL LIMIT 1 OFFSET 1
) IS NOT NULL;

-- name: being_removed
-- Which of these digests (a JSON array) are being removed from the storage.
SELECT sha256, at FROM removals WHERE sha256 IN (SELECT value FROM json_each(:sha256s));

-- name: removals
SELECT sha256, at FROM removals ORDER BY sha256;

-- name: put_removal
INSERT INTO removals (sha256, at) VALUES (:sha256, :now) ON CONFLICT (sha256) DO UPDATE SET at = excluded.at;

-- name: drop_removal
DELETE FROM removals WHERE sha256 = :sha256;

-- name: pictures_under_way
-- Which of these digests (a JSON array) some message has whose picture or row is not published yet; dead ones too.
SELECT value AS sha256 FROM json_each(:sha256s)
WHERE EXISTS (
    SELECT 1 FROM jobs INDEXED BY jobs_sha256
    WHERE sha256 = value AND sha256 IS NOT NULL AND deleted_at IS NULL AND state != 'published'
);

-- name: pictures_ever
-- Which of these digests (a JSON array) some message has, or had when it was deleted.
SELECT value AS sha256 FROM json_each(:sha256s)
WHERE EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_sha256 WHERE sha256 = value AND sha256 IS NOT NULL);

-- name: jobs_with
-- The rendered pictures of these digests (a JSON array), deleted ones aside.
SELECT * FROM jobs INDEXED BY jobs_sha256
WHERE sha256 IN (SELECT value FROM json_each(:sha256s)) AND sha256 IS NOT NULL AND deleted_at IS NULL
      AND renditions IS NOT NULL;

-- name: count_as_is
-- How many originals are published as they came.
SELECT count(DISTINCT sha256) FROM jobs INDEXED BY jobs_as_is
WHERE original = 'as_is' AND stored = 1 AND renditions IS NOT NULL;

-- name: pictures_as_is
-- The next digests of originals that are published as they came, deleted messages' included.
SELECT DISTINCT sha256 FROM jobs INDEXED BY jobs_as_is
WHERE original = 'as_is' AND stored = 1 AND renditions IS NOT NULL AND sha256 > :after ORDER BY sha256 LIMIT :limit;

-- name: jobs_as_is
-- The jobs of one of these.
SELECT * FROM jobs INDEXED BY jobs_as_is
WHERE original = 'as_is' AND stored = 1 AND renditions IS NOT NULL AND sha256 = :sha256 ORDER BY id;

-- name: replace_original
-- The original is published in another way now.
UPDATE jobs INDEXED BY jobs_as_is SET original = :original
WHERE original = 'as_is' AND stored = 1 AND renditions IS NOT NULL AND sha256 = :sha256;

-- name: add_address
INSERT INTO addresses (url, prefix, columns) VALUES (:url, :prefix, :columns)
ON CONFLICT (url, prefix, columns) DO NOTHING;

-- name: address
SELECT id FROM addresses WHERE url = :url AND prefix = :prefix AND columns = :columns;

-- name: rows_by_address
-- How many rows were last written under each address.
SELECT published.address AS id, url, prefix, columns, rows
FROM (SELECT address, count(*) AS rows FROM jobs INDEXED BY jobs_address
      WHERE state = 'published' AND deleted_at IS NULL GROUP BY address) AS published
LEFT JOIN addresses ON addresses.id = published.address;

-- name: published_under
-- Some of the rows that were last written under an address, the oldest first.
SELECT sha256 FROM jobs INDEXED BY jobs_address
WHERE state = 'published' AND deleted_at IS NULL AND hidden_at IS NULL AND address IS :address
ORDER BY id LIMIT :limit;

-- name: write_again
-- Have some of these rows written again, behind what is posted now.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                waits_since = :now,
                state = 'rendered', revision = max(revision + 1, :revision), priority = :priority, attempts = 0,
                next_at = 0
WHERE id IN (SELECT id FROM jobs INDEXED BY jobs_address
             WHERE state = 'published' AND deleted_at IS NULL AND address IS :address ORDER BY id LIMIT :limit);

-- name: want_renewals
-- Wants the jobs rendered anew that were published by another recipe, among the `width` next ones beyond that id. One that
-- is wanted already, or is being made, is left as it is.
INSERT INTO renewals (job, step, recipe, next_at)
SELECT id, 'wanted', :recipe, 0.0 FROM jobs
WHERE id > :after AND id <= :after + :width AND state = 'published' AND deleted_at IS NULL AND hidden_at IS NULL
      AND renditions IS NOT NULL
      AND recipe IS NOT :recipe AND posted_at >= :since
      AND (:channels IS NULL OR channel_id IN (SELECT value FROM json_each(:channels)))
ON CONFLICT (job) DO UPDATE SET step = 'wanted', recipe = excluded.recipe, next_at = 0.0, reason = NULL
WHERE step IN ('wanted', 'failed');

-- name: last_job
SELECT max(id) FROM jobs;

-- name: renewals_at
-- The jobs whose renewal is at that step, and has been due since before that time (or is impossibly far off: the clock
-- was set back), with what is known of the renewal.
WITH parts (low, high) AS (VALUES (-1.0, :before), (:farthest, 9e999))
SELECT renewals.* FROM parts CROSS JOIN renewals ON job IN (
    SELECT job FROM renewals INDEXED BY renewals_turn
    WHERE step = :stage AND next_at > low AND next_at <= high ORDER BY next_at, job LIMIT :limit
)
LIMIT :limit;

-- name: renewal_counts
SELECT step, jobs FROM renewal_counts;

-- name: made_of_stripped
-- Which of these jobs (a JSON array of ids) are being made of a published original without metadata.
SELECT job FROM renewals NOT INDEXED
WHERE job IN (SELECT value FROM json_each(:ids)) AND step = 'making' AND was_stripped = 1;

-- name: begin_renewal
-- The job's picture is to be made anew. What it is now is kept.
UPDATE renewals NOT INDEXED SET step = 'making', next_at = :now, was_stripped = :was_stripped, priority = jobs.priority,
                    sha256 = jobs.sha256, bytes = jobs.bytes, mime = jobs.mime, extension = jobs.extension,
                    width = jobs.width, height = jobs.height, renditions = jobs.renditions,
                    rendition_bytes = jobs.rendition_bytes, former_recipe = jobs.recipe,
                    stripped_bytes = jobs.stripped_bytes, appearance = jobs.appearance,
                    preview_bytes = jobs.preview_bytes, original = jobs.original
FROM jobs
WHERE renewals.job = :id AND step = 'wanted' AND jobs.id = :id AND generation = :generation AND revision = :revision
      AND state = 'published' AND deleted_at IS NULL AND jobs.renditions IS NOT NULL;

-- name: to_renewed
-- The job is on its way once more, behind everything else. Its row is written again, so its revision rises. It waits for
-- no first row.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                state = :state, revision = max(revision + 1, :revision), generation = generation + 1,
                priority = :priority, renditions = NULL, rendition_bytes = 0, recipe = NULL, stripped_bytes = NULL,
                appearance = NULL, preview_bytes = NULL,
                original = NULL, stored = 0, attempts = 0, next_at = 0, deaths = 0, alone = 0, doubted = NULL,
                doubts = 0, reason = NULL
WHERE id = :id AND state = 'published';

-- name: restore_renewal
-- The job is again what it was before its picture was to be made anew, as `state` says: published, or on its way to a
-- new row. What it was in hand for finds another generation. `stored`: also if all of its new objects are there.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                waits_since = iif(:state = 'published', NULL, :now),
                state = :state, stored = 1, generation = generation + 1, priority = former.priority,
                sha256 = former.sha256, bytes = former.bytes, mime = former.mime, extension = former.extension,
                width = former.width, height = former.height, renditions = former.renditions,
                rendition_bytes = former.rendition_bytes, recipe = former.former_recipe,
                stripped_bytes = former.stripped_bytes, appearance = former.appearance,
                preview_bytes = former.preview_bytes, original = former.original,
                claimed_by = NULL, attempts = 0, next_at = 0, deaths = 0, alone = 0, doubted = NULL, doubts = 0,
                reason = NULL
FROM renewals AS former
WHERE jobs.id = :id AND generation = :generation AND jobs.state = :seen_in AND jobs.state IN ('seen', 'fetched', 'rendered')
      AND jobs.stored <= :stored
      AND former.job = :id AND former.step = 'making';

-- name: move_renewal
-- Its step from now on; only from that other one.
UPDATE renewals NOT INDEXED SET step = :next_stage, next_at = :now, reason = :reason WHERE job = :id AND step = :stage;

-- name: renewals_published
-- Moves on the jobs (a JSON array of ids) that were made anew: their rows name the new objects.
UPDATE renewals NOT INDEXED SET step = 'moved', next_at = :now
WHERE job IN (SELECT value FROM json_each(:ids)) AND step = 'making'
RETURNING job, priority;

-- name: set_priority
UPDATE jobs SET priority = :priority WHERE id = :id;

-- name: put_off_renewal
UPDATE renewals NOT INDEXED SET next_at = :next_at WHERE job = :id AND step = :stage;

-- name: end_renewal
DELETE FROM renewals NOT INDEXED WHERE job = :id AND step = :stage;

-- name: drop_renewal
-- The message is gone, or has another picture. Old objects that were to be deleted still are.
DELETE FROM renewals NOT INDEXED WHERE job = :id AND step != 'moved' RETURNING step, priority;

-- name: failed_renewals
-- Some of the pictures that could not be rendered anew, the newest failures first.
SELECT channel_id, message_id, renewals.reason AS reason
FROM renewals INDEXED BY renewals_turn CROSS JOIN jobs ON jobs.id = renewals.job
WHERE step = 'failed' ORDER BY renewals.next_at DESC LIMIT :limit;

-- name: forget_removals
DELETE FROM removals WHERE at <= :before OR at > :now;

-- name: published_pictures
-- Some pictures that rows name, those of the newest messages: a hidden one's names none.
SELECT sha256 FROM jobs NOT INDEXED
WHERE state = 'published' AND deleted_at IS NULL AND hidden_at IS NULL AND sha256 IS NOT NULL
ORDER BY id DESC LIMIT :limit;

-- name: newest_published
-- The newest pictures whose rows are there for readers, and what their keys begin with (NULL: not recorded). Of each address the
-- index is read from its end.
SELECT jobs.*, one.prefix AS prefix
FROM (SELECT id, prefix FROM addresses UNION ALL SELECT NULL, NULL) AS one CROSS JOIN jobs ON jobs.id IN (
    SELECT id FROM jobs INDEXED BY jobs_address
    WHERE state = 'published' AND deleted_at IS NULL AND hidden_at IS NULL AND address IS one.id
    ORDER BY id DESC LIMIT :limit
)
ORDER BY jobs.id DESC LIMIT :limit;

-- name: breaker
SELECT opened_at, silent_until, error, remedy FROM breakers WHERE service = :service;

-- name: put_breaker
INSERT INTO breakers (service, opened_at, silent_until, error, remedy)
VALUES (:service, :opened_at, :silent_until, :error, :remedy)
ON CONFLICT (service) DO UPDATE SET opened_at = excluded.opened_at, silent_until = excluded.silent_until,
    error = excluded.error, remedy = excluded.remedy;

-- name: drop_breaker
DELETE FROM breakers WHERE service = :service;

-- name: unfinished
-- The jobs (of a JSON array of ids) whose spool folder is still needed. Dead letters are among them: their originals are
-- kept for `retry`, unless they are blocked. So are published pictures that are about to be rendered anew.
SELECT id, generation, state FROM jobs
WHERE id IN (SELECT value FROM json_each(:ids)) AND state != 'published' AND stored = 0
      AND NOT (state = 'dead' AND EXISTS (SELECT 1 FROM blocked WHERE blocked.sha256 = jobs.sha256))
UNION ALL
SELECT id, generation + 1, 'seen' FROM renewals NOT INDEXED CROSS JOIN jobs ON jobs.id = renewals.job
WHERE job IN (SELECT value FROM json_each(:ids)) AND step = 'wanted' AND state = 'published';

-- name: spool_bytes
-- How much of the spool is on its way through.
SELECT coalesce(sum(spool_bytes), 0) FROM counts WHERE state IN ('fetched', 'rendered');

-- name: waiting_for_retry
-- How many jobs were put off and are not due yet, and when the first of them will be. Of those whose time has come, or
-- is impossibly far off, a thousand each are told from the others: more of them are not read.
SELECT (SELECT coalesce(sum(put_off), 0) FROM counts)
       - (SELECT count(*) FROM (
             SELECT 1 FROM jobs INDEXED BY jobs_later WHERE next_at != 0 AND next_at <= :now LIMIT 1000
         ))
       - (SELECT count(*) FROM (
             SELECT 1 FROM jobs INDEXED BY jobs_later WHERE next_at != 0 AND next_at > :farthest LIMIT 1000
         )),
       (SELECT min(next_at) FROM jobs INDEXED BY jobs_later
        WHERE next_at != 0 AND next_at > :now AND next_at <= :farthest);

-- name: put_last_failure
INSERT INTO last_failure (one, at, job, reason) VALUES (1, :at, :job, :reason)
ON CONFLICT (one) DO UPDATE SET at = excluded.at, job = excluded.job, reason = excluded.reason;

-- name: last_failure
SELECT channel_id, message_id, last_failure.reason AS reason FROM last_failure JOIN jobs ON jobs.id = last_failure.job
WHERE state != 'published';

-- name: states
SELECT state, jobs FROM states;

-- name: totals
SELECT name, value FROM totals;

-- name: add_total
-- `encoder_fallbacks` has no row until there was one.
INSERT INTO totals VALUES (:name, :by) ON CONFLICT (name) DO UPDATE SET value = value + :by;

-- name: channels
SELECT id, title, name, floor, cursor, backfilled, ignored FROM channels ORDER BY id;

-- name: channel_figures
-- Besides that, what the jobs and the hours tell of each: a few rows are read a channel.
SELECT id, title, floor, cursor, backfilled, ignored,
       (SELECT posted_at FROM jobs WHERE channel_id = channels.id ORDER BY message_id DESC LIMIT 1) AS last_post_at,
       (SELECT last_at FROM hours WHERE channel_id = channels.id ORDER BY hour DESC LIMIT 1) AS last_published_at,
       (SELECT coalesce(sum(jobs), 0) FROM counts
        WHERE channel_id = channels.id AND state IN ('seen', 'fetched', 'rendered', 'published', 'dead')) AS pictures
FROM channels ORDER BY id;

-- name: peer
-- How an address in the configuration was resolved for this account.
SELECT channel_id, access_hash FROM peers WHERE address = :address AND account_id = :account_id;

-- name: put_peer
INSERT INTO peers (address, account_id, channel_id, access_hash)
VALUES (:address, :account_id, :channel_id, :access_hash)
ON CONFLICT (address, account_id) DO UPDATE SET
    channel_id = excluded.channel_id, access_hash = excluded.access_hash;

-- name: peer_ids
SELECT channel_id FROM peers WHERE address = :address;

-- name: add_sighting
-- An address that is configured for the first time.
INSERT INTO sightings (address, configured_at) VALUES (:address, :now) ON CONFLICT (address) DO NOTHING;

-- name: sighting
SELECT configured_at FROM sightings WHERE address = :address;

-- name: fates
-- How these pictures of a channel stand (a JSON list of message ids). Reads all of them: not for /status.
SELECT message_id, state, published_at, next_at > :now AS is_put_off
FROM json_each(:messages) AS wanted CROSS JOIN jobs
WHERE jobs.channel_id = :channel_id AND jobs.message_id = wanted.value;

-- name: durations
-- All histograms.
SELECT name, bound, count, seconds FROM durations;

-- name: durations_of
SELECT bound, count, seconds FROM durations WHERE name = :name;

-- name: add_durations
INSERT INTO durations (name, bound, count, seconds) VALUES (:name, :bound, :by, :seconds)
ON CONFLICT (name, bound) DO UPDATE SET count = count + excluded.count, seconds = seconds + excluded.seconds;

-- name: outcomes
-- What went well is in the histograms, but for what was not measured.
SELECT stage, outcome, count FROM outcomes
UNION ALL SELECT name, 'done', count FROM durations WHERE name != 'post_to_row';

-- name: add_outcome
INSERT INTO outcomes (stage, outcome, count) VALUES (:stage, :outcome, :by)
ON CONFLICT (stage, outcome) DO UPDATE SET count = count + excluded.count;

-- name: minutes
SELECT minute, published FROM minutes WHERE minute BETWEEN :first AND :last ORDER BY minute;

-- name: add_to_minute
INSERT INTO minutes (minute, published) VALUES (:minute, :by)
ON CONFLICT (minute) DO UPDATE SET published = published + excluded.published;

-- name: hours
SELECT channel_id, hour, published FROM channels CROSS JOIN hours ON channel_id = channels.id
WHERE hour BETWEEN :first AND :last;

-- name: add_to_hour
INSERT INTO hours (channel_id, hour, published, last_at) VALUES (:channel, :hour, :by, :now)
ON CONFLICT (channel_id, hour) DO UPDATE SET published = published + excluded.published, last_at = excluded.last_at;

-- name: oldest_waiting
SELECT min(waits_since) FROM jobs INDEXED BY jobs_waiting WHERE waits_since IS NOT NULL;

-- name: restarts
SELECT child, cause, count FROM restarts ORDER BY child, cause;

-- name: add_restart
INSERT INTO restarts (child, cause, count) VALUES (:child, :cause, 1)
ON CONFLICT (child, cause) DO UPDATE SET count = count + 1;

-- name: add_end
-- An end of a process, if it is not known yet.
INSERT INTO counted_ends (child, at, lived_seconds) VALUES (:child, :at, :lived_seconds)
ON CONFLICT (child, at, lived_seconds) DO NOTHING;

-- name: consumer
SELECT name, position, built FROM consumers WHERE name = :name;

-- name: add_consumer
-- The consumer follows from the newest change on.
INSERT INTO consumers (name, position)
VALUES (:name, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'changes'), 0))
ON CONFLICT (name) DO NOTHING;

-- name: consumer_names
SELECT name FROM consumers ORDER BY name;

-- name: drop_consumer
DELETE FROM consumers WHERE name = :name;

-- name: note_built
UPDATE consumers SET built = 1 WHERE name = :name;

-- name: move_consumer
UPDATE consumers SET position = :position WHERE name = :name AND position < :position;

-- name: forget_changes
-- Deletes the changes that every consumer has passed: all, if there is none.
DELETE FROM changes WHERE id <= coalesce((SELECT min(position) FROM consumers), 9223372036854775807);

-- name: changes_after
SELECT id, channel_id, message_id, what, at FROM changes WHERE id > :position ORDER BY id LIMIT :limit;

-- name: note_change
-- While somebody follows.
INSERT INTO changes (channel_id, message_id, what, at)
SELECT :channel_id, :message_id, :what, :at WHERE EXISTS (SELECT 1 FROM consumers);

-- name: put_takedown
-- One that is known already keeps its time, unless it is further on.
INSERT INTO takedowns (job, sha256, step, at, looks) VALUES (:job, :sha256, :stage, :now, :looks)
ON CONFLICT (job, sha256) DO UPDATE SET step = excluded.step, at = excluded.at, looks = max(looks, excluded.looks)
WHERE step != excluded.step;

-- name: renewed_from
-- The picture that a job had before it is, or was, rendered anew.
SELECT sha256 FROM renewals NOT INDEXED WHERE job = :job AND sha256 IS NOT NULL;

-- name: drop_moved_renewals
-- The old objects of a picture are deleted with all the others.
DELETE FROM renewals NOT INDEXED
WHERE job IN (SELECT job FROM takedowns WHERE sha256 = :sha256 AND step = 'leaving') AND step = 'moved'
      AND sha256 = :sha256;

-- name: row_is_empty
-- The row names no picture any more: neither the one that its job has, nor the one before it.
UPDATE takedowns SET step = 'waiting', at = :now WHERE job = :job AND step IN ('replaced', 'marked');

-- name: keep_replaced
DELETE FROM takedowns WHERE job = :job AND step = 'replaced';

-- name: spare
-- The post is shown again: what was not begun is not done.
DELETE FROM takedowns WHERE job = :job AND step IN ('replaced', 'marked', 'waiting');

-- name: spare_all
-- Nothing is taken down in this installation. What was begun is finished.
DELETE FROM takedowns WHERE step = 'waiting';

-- name: takedowns_due
SELECT job, sha256, step, at, looks FROM takedowns INDEXED BY takedowns_turn
WHERE step = :stage AND at <= :before ORDER BY at LIMIT :limit;

-- name: takedowns_of
SELECT job, sha256, step, at, looks FROM takedowns WHERE job = :job;

-- name: put_off_takedown
UPDATE takedowns SET at = :at WHERE job = :job AND sha256 = :sha256 AND step = :stage;

-- name: begin_takedown
UPDATE takedowns SET step = 'leaving', at = :now WHERE job = :job AND sha256 = :sha256 AND step = 'waiting';

-- name: take_down
-- A hidden post's picture leaves: the job forgets it, as its row has. It has no file anywhere then.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                generation = generation + 1, sha256 = NULL, bytes = NULL, mime = NULL, extension = NULL, width = NULL,
                height = NULL, renditions = NULL, rendition_bytes = 0, recipe = NULL, stripped_bytes = NULL,
                appearance = NULL, preview_bytes = NULL, original = NULL, doubted = NULL, doubts = 0
WHERE id = :id AND generation = :generation AND state = 'published' AND hidden_at IS NOT NULL AND deleted_at IS NULL;

-- name: look_again
UPDATE takedowns SET at = :at, looks = looks - 1 WHERE sha256 = :sha256 AND step = 'leaving' AND looks > 1;

-- name: end_takedowns
DELETE FROM takedowns WHERE sha256 = :sha256 AND step = 'leaving' AND at <= :now;

-- name: takedown_counts
SELECT step, rows FROM takedown_counts;

-- name: add_purge
INSERT INTO purges (url, sha256) VALUES (:url, :sha256) ON CONFLICT (url) DO UPDATE SET ready = 0;

-- name: ready_purges
UPDATE purges SET ready = 1 WHERE sha256 = :sha256;

-- name: drop_unready_purges
DELETE FROM purges WHERE sha256 = :sha256 AND ready = 0;

-- name: purges
SELECT url FROM purges INDEXED BY purges_ready WHERE ready = 1 ORDER BY url LIMIT :limit;

-- name: drop_purge
DELETE FROM purges WHERE url = :url AND ready = 1;

-- name: drop_purges
DELETE FROM purges WHERE ready = 1;

-- name: origin
SELECT version FROM origin;

-- name: all_addresses
SELECT DISTINCT url, prefix FROM addresses ORDER BY url, prefix;

-- name: webhook
SELECT * FROM webhooks WHERE name = :name;

-- name: webhook_names
SELECT name, kind FROM webhooks ORDER BY name;

-- name: add_webhook
-- Its label may be another one: its place in the settings.
INSERT INTO webhooks (name, kind, label, token) VALUES (:name, :kind, :label, :token)
ON CONFLICT (name) DO UPDATE SET label = excluded.label;

-- name: drop_deliveries
DELETE FROM deliveries WHERE webhook = :name;

-- name: drop_webhook
DELETE FROM webhooks WHERE name = :name;

-- name: add_delivery
INSERT INTO deliveries (webhook, change, channel_id, message_id, what, at)
VALUES (:name, :change, :channel_id, :message_id, :what, :at);

-- name: due_deliveries
-- Deliveries that were put off come after the others. Each picture has only its first one here: the others wait for it. A
-- time too far off was set by a clock that has been set back since.
SELECT webhook, change, channel_id, message_id, what, at, attempts, reason FROM deliveries AS one
WHERE webhook = :name AND state = 'waiting' AND (next_at <= :now OR next_at > :farthest)
      AND NOT EXISTS (
          SELECT 1 FROM deliveries AS earlier
          WHERE earlier.webhook = one.webhook AND earlier.channel_id = one.channel_id
                AND earlier.message_id = one.message_id AND earlier.state = 'waiting' AND earlier.change < one.change
      )
ORDER BY next_at, change LIMIT :limit;

-- name: end_delivery
DELETE FROM deliveries WHERE webhook = :name AND change = :change;

-- name: put_off_delivery
UPDATE deliveries SET attempts = :attempts, next_at = :next_at, reason = :reason
WHERE webhook = :name AND change = :change;

-- name: bury_delivery
UPDATE deliveries SET state = 'dead', attempts = :attempts, next_at = 0, reason = :reason
WHERE webhook = :name AND change = :change;

-- name: webhook_accepted
UPDATE webhooks SET delivered = delivered + 1, attempts = 0, next_at = 0, failing_since = NULL, error = '', remedy = '',
                    opened_at = NULL, silent_until = NULL
WHERE name = :name;

-- name: webhook_failed
-- Also how its circuit breaker stands; NULL: closed.
UPDATE webhooks SET failed = failed + 1, failing_since = coalesce(failing_since, :now), error = :error,
                    remedy = :remedy, opened_at = iif(:silent_until IS NULL, NULL, coalesce(opened_at, :now)),
                    silent_until = :silent_until
WHERE name = :name;

-- name: put_off_rebuild
UPDATE webhooks SET attempts = attempts + 1, next_at = :next_at WHERE name = :name;

-- name: webhook_gone
UPDATE webhooks SET gone_at = :now, error = :error WHERE name = :name;

-- name: deliveries_of
-- The webhooks that have still to be told of that message.
SELECT webhooks.label, webhooks.error FROM webhooks
WHERE EXISTS (
    SELECT 1 FROM deliveries INDEXED BY deliveries_of_picture
    WHERE webhook = name AND channel_id = :channel_id AND message_id = :message_id AND state = 'waiting'
);

-- name: dead_deliveries
SELECT label, webhook, change, channel_id, message_id, what, deliveries.at, deliveries.attempts, reason
FROM deliveries INDEXED BY deliveries_dead CROSS JOIN webhooks ON name = webhook
WHERE state = 'dead' ORDER BY webhook, change;

-- name: revive_deliveries
UPDATE deliveries SET state = 'waiting', attempts = 0, next_at = 0 WHERE webhook = :name AND state = 'dead';

-- name: revive_webhook
UPDATE webhooks SET gone_at = NULL WHERE name = :name AND gone_at IS NOT NULL;

-- name: webhook_figures
-- `behind`: changes that it has not taken over yet, at most.
SELECT webhooks.*, max(0, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'changes'), 0) - position) AS behind
FROM webhooks CROSS JOIN consumers ON consumers.name = webhooks.name ORDER BY webhooks.name;

-- name: newest_change
SELECT id, at FROM changes ORDER BY id DESC LIMIT 1;

-- name: site
SELECT version, place FROM site;

-- name: set_site
INSERT INTO site (id, version, place) VALUES (1, :version, :place)
ON CONFLICT (id) DO UPDATE SET version = excluded.version, place = excluded.place;

-- name: drop_site
DELETE FROM site;

-- name: forget_site_blocks
DELETE FROM site_blocks;

-- name: forget_site_channels
DELETE FROM site_channels;

-- name: forget_site_tasks
DELETE FROM site_tasks;

-- name: forget_site_pages
DELETE FROM site_pages;

-- name: doubt_site_pages
UPDATE site_pages SET digest = x'' WHERE digest <> x'';

-- name: site_counts
SELECT name, value FROM site_counts;

-- name: add_site_task
INSERT INTO site_tasks (what, channel_id, number, rank) VALUES (:what, :channel_id, :number, :rank)
ON CONFLICT (what, channel_id, number) DO UPDATE SET rank = min(rank, excluded.rank);

-- name: add_site_block_tasks
-- All blocks: the highest of each channel at once, the others as they are built.
INSERT INTO site_tasks (what, channel_id, number, rank)
SELECT 'block', channel_id, first_id,
       iif(first_id = (SELECT max(first_id) FROM site_blocks AS other WHERE other.channel_id = site_blocks.channel_id),
           :first_rank, :rank)
FROM site_blocks WHERE :channel_id IS NULL OR channel_id = :channel_id
ON CONFLICT (what, channel_id, number) DO UPDATE SET rank = min(rank, excluded.rank);

-- name: next_site_task
SELECT what, channel_id, number, rank FROM site_tasks WHERE rank >= :rank
ORDER BY rank, what, channel_id DESC, number DESC LIMIT 1;

-- name: end_site_task
DELETE FROM site_tasks WHERE what = :what AND channel_id = :channel_id AND number = :number;

-- name: site_block
-- The one that the message is in.
SELECT channel_id, first_id, is_read, posts, newest, oldest, oldest_at FROM site_blocks
WHERE channel_id = :channel_id AND first_id <= :message_id ORDER BY first_id DESC LIMIT 1;

-- name: site_block_above
-- The next one with posts, or the next one.
SELECT channel_id, first_id, is_read, posts, newest, oldest, oldest_at FROM site_blocks
WHERE channel_id = :channel_id AND first_id > :first_id ORDER BY first_id LIMIT 1;

-- name: site_block_below
SELECT channel_id, first_id, is_read, posts, newest, oldest, oldest_at FROM site_blocks
WHERE channel_id = :channel_id AND first_id < :first_id ORDER BY first_id DESC LIMIT 1;

-- name: put_site_block
INSERT INTO site_blocks (channel_id, first_id, is_read, posts, newest, oldest, oldest_at)
VALUES (:channel_id, :first_id, :is_read, :posts, :newest, :oldest, :oldest_at)
ON CONFLICT (channel_id, first_id) DO UPDATE SET
    is_read = excluded.is_read, posts = excluded.posts, newest = excluded.newest, oldest = excluded.oldest,
    oldest_at = excluded.oldest_at;

-- name: drop_site_block
DELETE FROM site_blocks WHERE channel_id = :channel_id AND first_id = :first_id;

-- name: add_site_channel
INSERT INTO site_channels (channel_id) VALUES (:channel_id) ON CONFLICT (channel_id) DO NOTHING;

-- name: count_site_posts
UPDATE site_channels SET posts = posts + :by WHERE channel_id = :channel_id;

-- name: name_site_channel
UPDATE site_channels SET title = :title, name = :name, newest_at = :newest_at WHERE channel_id = :channel_id;

-- name: site_channel
SELECT channel_id, title, name, posts, newest_at FROM site_channels WHERE channel_id = :channel_id;

-- name: site_channels
SELECT channel_id, title, name, posts, newest_at FROM site_channels WHERE posts > 0
ORDER BY newest_at DESC LIMIT :limit;

-- name: site_page
SELECT digest FROM site_pages WHERE path = :path;

-- name: put_site_page
INSERT INTO site_pages (path, kind, digest, channel_id, first_id, changed_at)
VALUES (:path, :kind, :digest, :channel_id, :first_id, :changed_at)
ON CONFLICT (path) DO UPDATE SET
    digest = excluded.digest, channel_id = excluded.channel_id, first_id = excluded.first_id,
    changed_at = excluded.changed_at;

-- name: drop_site_page
DELETE FROM site_pages WHERE path = :path;

-- name: site_posts_between
SELECT path, first_id, changed_at FROM site_pages
WHERE kind = 'post' AND channel_id = :channel_id AND first_id BETWEEN :low AND :high ORDER BY first_id;

-- name: site_pages_of_kind
SELECT path FROM site_pages WHERE kind = :kind AND kind IN ('asset', 'sitemap') ORDER BY path;

-- name: some_site_pages
SELECT path FROM site_pages LIMIT :limit;

-- name: to_hand_over
-- The pool's jobs that were never put off, beyond the first ones, in their order. Hidden posts stay here, pictures that are
-- rendered anew, and those whose objects are being removed: a node would find them, and some may be deleted afterwards.
SELECT jobs.* FROM (
    SELECT id FROM jobs INDEXED BY jobs_ready
    WHERE queue = 'render' AND next_at = 0 AND priority < 2 AND claimed_by IS NULL
    ORDER BY priority, id LIMIT :limit OFFSET :keep
) AS turn CROSS JOIN jobs ON jobs.id = turn.id
WHERE hidden_at IS NULL AND NOT EXISTS (
    SELECT 1 FROM removals WHERE removals.sha256 = jobs.sha256 AND abs(:now - removals.at) < :lease_seconds
);

-- name: count_to_render
-- How many there are for our own workers, up to a limit.
SELECT count(*) FROM (
    SELECT 1 FROM jobs INDEXED BY jobs_ready
    WHERE queue = 'render' AND next_at = 0 AND priority < 2 AND claimed_by IS NULL LIMIT :limit
);

-- name: claim_for_machines
-- From now on readers may see a row of it, and we hear of that later, or never, should the queue be lost.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                claimed_by = 'machines', shown = 1
WHERE id = :id AND generation = :generation AND state = 'fetched' AND claimed_by IS NULL AND hidden_at IS NULL
      AND next_at = 0 AND alone = 0 AND priority < 2 AND NOT EXISTS (
          SELECT 1 FROM removals WHERE removals.sha256 = jobs.sha256 AND abs(:now - removals.at) < :lease_seconds
      );

-- name: add_claim
-- The number is higher than any before, and ends in 30 random bits: a journal that was restored from a backup counts on
-- from there, and what it handed over in its earlier life, or the result of that, must have no key that it uses again.
INSERT INTO claims (number, job, generation, revision, token, step, at)
SELECT ((coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'claims'), 0) >> 30) + 1 << 30) + (random() & 1073741823),
       id, generation, revision, :token, 'claimed', :now
FROM jobs WHERE id = :id;

-- name: claim_of_job
SELECT number, job, generation, revision, token, step, at FROM claims WHERE job = :job;

-- name: claims_at
-- The oldest claims at that step.
SELECT number, job, generation, revision, token, step, at FROM claims INDEXED BY claims_step
WHERE step = :stage ORDER BY number LIMIT :limit;

-- name: newest_claims
-- The newest claims below that number.
SELECT number, job, generation, revision, token, step, at FROM claims NOT INDEXED
WHERE number < :below ORDER BY number DESC LIMIT :limit;

-- name: claims_handed_before
-- Claims that were handed over before that time, or in the future (the clock was set back), beyond that number.
SELECT number, job, generation, revision, token, step, at FROM claims INDEXED BY claims_step
WHERE step = 'handed' AND number > :after AND (at <= :before OR at > :now) ORDER BY number LIMIT :limit;

-- name: count_claims
SELECT count(*) FROM claims;

-- name: has_leftovers
SELECT EXISTS (SELECT 1 FROM claim_leftovers);

-- name: claimed_tokens
-- The tokens of all claims, and of what is left of claims that ended.
SELECT token, number FROM claims UNION ALL SELECT token, NULL FROM claim_leftovers;

-- name: move_claim
-- Its step from now on; only from that other one.
UPDATE claims NOT INDEXED SET step = :next_stage, at = :now WHERE number = :number AND step = :stage;

-- name: from_machines
-- The job is the pool's again. The claim ends by itself.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                claimed_by = NULL
WHERE id = (SELECT job FROM claims NOT INDEXED WHERE number = :number) AND claimed_by = 'machines';

-- name: to_made
-- Another machine has rendered it, stored its objects and written a row of it, which readers may have seen.
UPDATE jobs SET life = substr(CAST(life || :step AS BLOB), -192),
                waits_since = coalesce(waits_since, :now), shown = 1,
                state = 'rendered', mime = :mime, extension = :extension, width = :width, height = :height,
                renditions = :renditions, rendition_bytes = :rendition_bytes, recipe = :recipe,
                stripped_bytes = :stripped_bytes, appearance = :appearance, preview_bytes = :preview_bytes,
                stored = 1, original = :original, address = coalesce(:address, address), claimed_by = NULL,
                attempts = 0, next_at = 0, deaths = 0, alone = 0, dead_state = NULL, dead_cause = NULL, reason = NULL
WHERE id = :id AND generation = :generation AND sha256 IS NOT NULL
      AND ((state = 'fetched' AND claimed_by = 'machines') OR state = 'dead');

-- name: claim_leftovers
SELECT token, key FROM claim_leftovers ORDER BY token LIMIT :limit;

-- name: drop_claim_leftover
DELETE FROM claim_leftovers WHERE token = :token;

-- name: put_taken
-- A job that a node has taken out of a queue.
INSERT INTO taken (job, key, origin, queue, msg_id, read_ct, terms, taken_at)
VALUES (:id, :key, :origin, :queue, :msg_id, :read_ct, :terms, :now);

-- name: note_taken
-- When one of that origin was last taken.
INSERT INTO origins (origin, last_at) VALUES (:origin, :now)
ON CONFLICT (origin) DO UPDATE SET last_at = excluded.last_at;

-- name: renew_receipt
-- The message has come again: from now on this receipt holds.
UPDATE taken SET queue = :queue, msg_id = :msg_id, read_ct = :read_ct WHERE key = :key;

-- name: taken
-- What a node has in hand: some for each of its workers.
SELECT taken.*, state, generation, revision, stored, claimed_by, dead_state, dead_cause, reason, doubted
FROM taken CROSS JOIN jobs ON jobs.id = taken.job ORDER BY taken.job;

-- name: taken_of
-- The jobs (of a JSON array of ids) that a node has taken.
SELECT taken.* FROM json_each(:ids) AS one CROSS JOIN taken ON taken.job = one.value;

-- name: drop_taken
-- Drops a job that is still as its caller saw it: in one of these states (a JSON array), without an image worker if
-- `idle` asks for that, and with this receipt (a JSON array) if there is one.
DELETE FROM taken WHERE job = :id AND (:receipt IS NULL OR json_array(queue, msg_id, read_ct) = json(:receipt)) AND EXISTS (
    SELECT 1 FROM jobs WHERE jobs.id = taken.job AND state IN (SELECT value FROM json_each(:states))
                             AND (claimed_by IS NULL OR NOT :idle)
) RETURNING origin;

-- name: forget_job
-- With all that refers to it, by a trigger.
DELETE FROM jobs WHERE id = :id RETURNING generation;

-- name: add_to_origin
-- What became of one that was taken.
INSERT INTO origins (origin, published, dead, returned, lost) VALUES (:origin, :published, :dead, :returned, :lost)
ON CONFLICT (origin) DO UPDATE SET published = published + excluded.published, dead = dead + excluded.dead,
                                   returned = returned + excluded.returned, lost = lost + excluded.lost;

-- name: origins
-- The origins that this node ever took pictures from, and the number of pictures in hand of each.
SELECT origin, published, dead, returned, lost, last_at,
       (SELECT count(*) FROM taken WHERE taken.origin = origins.origin) AS in_hand
FROM origins;

-- name: machine
SELECT id FROM machine WHERE one = 1;
