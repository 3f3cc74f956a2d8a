-- The hosted catalogue: tables, rights and functions of a Supabase project that Picturedesk writes to.
--
--   bin/run schema | psql "$DATABASE_URL"         or paste it into the project's SQL editor
--
-- It can be run again at any time, and over an older version: what is there stays, what is missing is added. It runs in
-- one transaction, so it is applied whole or not at all.
--
-- Who may do what: anybody (the roles anon and authenticated, which is what a publishable key gives) reads what is not
-- deleted or hidden; Picturedesk writes as service_role, which is what a secret key gives, and only through
-- ingest_messages(). A site reads the view `pictures`: one flat row a picture. It needs PostgreSQL 15 or newer.

begin;

-- That something is there already is no news when it is run again.
set local client_min_messages = warning;

-- Tables

create table if not exists public.channels (
    id         bigint not null,
    title      text   not null,
    constraint channels_pkey primary key (id)
);

create table if not exists public.messages (
    channel_id bigint      not null,
    message_id bigint      not null,
    revision   bigint      not null,
    grouped_id bigint,
    caption    text        not null,
    posted_at  timestamptz not null,
    edited_at  timestamptz,
    deleted_at timestamptz,
    constraint messages_pkey primary key (channel_id, message_id),
    constraint messages_channel_fkey foreign key (channel_id) references public.channels (id)
);

create table if not exists public.images (
    channel_id bigint  not null,
    message_id bigint  not null,
    photo_id   bigint,
    sha256     text    not null,
    mime       text    not null,
    width      integer not null,
    height     integer not null,
    bytes      bigint  not null,
    renditions jsonb   not null,
    constraint images_pkey primary key (channel_id, message_id),
    constraint images_message_fkey foreign key (channel_id, message_id)
        references public.messages (channel_id, message_id),
    -- Objects are kept or deleted by it: nothing that merely looks like a digest gets in.
    constraint images_sha256_is_a_digest check (sha256 ~ '^[0-9a-f]{64}$'),
    constraint images_renditions_is_an_array check (jsonb_typeof(renditions) = 'array')
);

-- Columns that the first version did not have.

alter table public.messages
    add column if not exists entities jsonb not null default '[]'
        constraint messages_entities_is_an_array check (jsonb_typeof(entities) = 'array'),
    add column if not exists forwarded_from jsonb
        constraint messages_forwarded_from_is_an_object check (jsonb_typeof(forwarded_from) = 'object'),
    add column if not exists reply_to bigint;

-- Columns that the second version did not have. Rows that are older have null there until they are written again
-- (bin/run republish --rows, or --renditions for what only rendering finds out).

alter table public.channels
    add column if not exists name text;

alter table public.messages
    add column if not exists hidden_at timestamptz,
    add column if not exists alt text,
    add column if not exists tags text[],
    add column if not exists is_cover boolean not null default false,
    add column if not exists caption_html text,
    add column if not exists caption_shown text;

alter table public.images
    add column if not exists kind text
        constraint images_kind_is_known check (kind in ('photo', 'animation', 'video')),
    add column if not exists preview jsonb
        constraint images_preview_is_an_object check (jsonb_typeof(preview) = 'object'),
    add column if not exists thumbhash text,
    add column if not exists color text,
    add column if not exists phash bigint,
    add column if not exists has_alpha boolean,
    add column if not exists animated boolean,
    add column if not exists alt text;

-- A page of a tag is read from an index that begins with it. An index over messages.tags would be of no use to a site:
-- row level security keeps the operators of arrays away from rows that nobody has judged yet.

create table if not exists public.message_tags (
    channel_id bigint      not null,
    message_id bigint      not null,
    tag        text        not null,
    posted_at  timestamptz not null,
    constraint message_tags_pkey primary key (channel_id, message_id, tag),
    constraint message_tags_message_fkey foreign key (channel_id, message_id)
        references public.messages (channel_id, message_id) on delete cascade
);

-- What a site asks for: all messages, a channel's, a tag's, each newest first; an album; the messages that show one
-- picture.

create index if not exists messages_posted_at on public.messages (posted_at desc, channel_id desc, message_id desc)
    where deleted_at is null and hidden_at is null;
create index if not exists messages_channel_posted_at on public.messages (channel_id, posted_at desc, message_id desc);
create index if not exists messages_grouped_id on public.messages (channel_id, grouped_id) where grouped_id is not null;
create index if not exists images_sha256 on public.images (sha256);
create index if not exists message_tags_tag
    on public.message_tags (tag, posted_at desc, channel_id desc, message_id desc);

comment on table public.channels is 'The Telegram channels whose photos are published.';
comment on column public.channels.id is 'Telegram''s id of the channel, bare and positive.';
comment on column public.channels.title is 'Its title as last seen.';
comment on column public.channels.name is 'Its @username as last seen, without the @; null if it has none.';

comment on table public.messages is 'One row a message with a photo. An album is several messages with one grouped_id.';
comment on column public.messages.channel_id is 'The channel that it was posted in.';
comment on column public.messages.message_id is 'Its number within the channel.';
comment on column public.messages.revision is 'Grows with every change of the message; the highest wins.';
comment on column public.messages.grouped_id is 'The album that it belongs to, if any.';
comment on column public.messages.caption is 'Its text, without formatting; empty if there is none.';
comment on column public.messages.posted_at is 'When it was posted.';
comment on column public.messages.edited_at is 'When it was last edited, if ever.';
comment on column public.messages.deleted_at is
    'When it was found deleted: the row is a tombstone, and nobody but service_role sees it.';
comment on column public.messages.entities is
    'Formatting of the caption: an array of {type, offset, length, url?, …}.';
comment on column public.messages.forwarded_from is
    'Where it was forwarded from: {channel_id, message_id, name, date}, or null.';
comment on column public.messages.reply_to is 'The message_id that it replies to, if any.';
comment on column public.messages.hidden_at is
    'When it was taken off the site, if it was: nobody but service_role sees the row, until it is shown again.';
comment on column public.messages.alt is 'What its picture shows, in words, if its editors have said it.';
comment on column public.messages.tags is 'Its hashtags, in lower case, without the #.';
comment on column public.messages.is_cover is 'Whether its editors have made it the first of its album.';
comment on column public.messages.caption_html is 'The caption as HTML: formatted, escaped, with web and tg links only.';
comment on column public.messages.caption_shown is 'The caption without the lines that are for Picturedesk.';

comment on table public.message_tags is 'One row a tag of each message that is neither deleted nor hidden.';
comment on column public.message_tags.channel_id is 'The message''s channel.';
comment on column public.message_tags.message_id is 'The message''s number within the channel.';
comment on column public.message_tags.tag is 'The hashtag, in lower case, without the #.';
comment on column public.message_tags.posted_at is 'When the message was posted.';

comment on table public.images is
    'The picture of a message that is neither deleted nor hidden, at most one a message. Others may show the same one.';
comment on column public.images.channel_id is 'The message''s channel.';
comment on column public.images.message_id is 'The message''s number within the channel.';
comment on column public.images.photo_id is 'Telegram''s id of the photo, where it is known.';
comment on column public.images.sha256 is 'Digest of the original file, in hexadecimal; its objects are named by it.';
comment on column public.images.mime is 'Media type of the original.';
comment on column public.images.width is 'Width of the original in pixels, upright.';
comment on column public.images.height is 'Height of the original in pixels, upright.';
comment on column public.images.bytes is 'Size of the original file.';
comment on column public.images.renditions is
    'The web-ready versions: an array of {width, height, format, bytes, key, url}, by width, and of one width webp, avif, jpeg.';
comment on column public.images.kind is 'photo, animation, or video: then the picture is its poster.';
comment on column public.images.preview is 'A picture for link cards: {key, url, width, height, bytes}, or null.';
comment on column public.images.thumbhash is 'A blurred copy of some 25 bytes to show while the picture loads: base64.';
comment on column public.images.color is 'Its mean colour: #rrggbb.';
comment on column public.images.phash is
    'A perceptual hash of 64 bits, as a signed number: pictures that look alike differ in few of its bits.';
comment on column public.images.has_alpha is 'Whether some of it is transparent.';
comment on column public.images.animated is 'Whether its renditions move.';
comment on column public.images.alt is 'What it shows, in words: that of its message.';

-- What a site reads. Both views have the rights of whoever asks (security_invoker), so the policies below hold for them.
-- Neither aggregates more than it shows: a page costs what its rows cost, whatever is behind them.

create or replace view public.pictures with (security_invoker = true) as
select
    message.channel_id,
    channel.name as channel_name,
    channel.title as channel_title,
    message.message_id,
    message.grouped_id,
    case when message.grouped_id is null then 1 else (
        select 1 + count(*)
        from public.messages as other
        where other.channel_id = message.channel_id
          and other.grouped_id = message.grouped_id
          and other.deleted_at is null
          and other.hidden_at is null
          and (not other.is_cover, other.message_id) < (not message.is_cover, message.message_id)
    ) end as album_position,
    message.posted_at,
    message.edited_at,
    'https://t.me/' || coalesce(channel.name, 'c/' || message.channel_id) || '/' || message.message_id as post_url,
    coalesce(message.caption_shown, message.caption) as caption,
    coalesce(message.caption_html, replace(replace(replace(replace(replace(
        message.caption, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), e'\n', '<br>')) as caption_html,
    message.tags,
    message.alt,
    image.kind,
    image.width,
    image.height,
    (
        select one ->> 'url'
        from jsonb_array_elements(image.renditions) as one
        order by
            case one ->> 'format' when 'jpeg' then 0 when 'webp' then 1 else 2 end,
            (one ->> 'width')::integer desc
        limit 1
    ) as src,
    (
        select string_agg((one ->> 'url') || ' ' || (one ->> 'width') || 'w', ', ' order by (one ->> 'width')::integer)
        from jsonb_array_elements(image.renditions) as one
        where one ->> 'format' = 'avif'
    ) as srcset_avif,
    (
        select string_agg((one ->> 'url') || ' ' || (one ->> 'width') || 'w', ', ' order by (one ->> 'width')::integer)
        from jsonb_array_elements(image.renditions) as one
        where one ->> 'format' = 'webp'
    ) as srcset_webp,
    image.preview ->> 'url' as preview_url,
    image.color,
    image.thumbhash,
    image.phash,
    image.has_alpha,
    image.animated
from public.messages as message
join public.images as image using (channel_id, message_id)
join public.channels as channel on channel.id = message.channel_id
where message.deleted_at is null and message.hidden_at is null;

-- What this one is ordered by is the index's own.
create or replace view public.pictures_by_tag with (security_invoker = true) as
select
    tagged.tag, tagged.channel_id, picture.channel_name, picture.channel_title, tagged.message_id, picture.grouped_id,
    picture.album_position, tagged.posted_at, picture.edited_at, picture.post_url, picture.caption, picture.caption_html,
    picture.tags, picture.alt, picture.kind, picture.width, picture.height, picture.src, picture.srcset_avif,
    picture.srcset_webp, picture.preview_url, picture.color, picture.thumbhash, picture.phash, picture.has_alpha,
    picture.animated
from public.message_tags as tagged
join public.pictures as picture using (channel_id, message_id);

comment on view public.pictures is
    'What a site shows: one row a picture that is neither deleted nor hidden. Order by posted_at, channel_id, message_id.';
comment on column public.pictures.channel_id is 'The channel that it was posted in.';
comment on column public.pictures.channel_name is 'The channel''s @username without the @; null if it has none.';
comment on column public.pictures.channel_title is 'The channel''s title.';
comment on column public.pictures.message_id is 'Its message''s number within the channel.';
comment on column public.pictures.grouped_id is 'The album that it belongs to, if any.';
comment on column public.pictures.album_position is 'Its place in the album, from 1; 1 if it belongs to none.';
comment on column public.pictures.posted_at is 'When it was posted.';
comment on column public.pictures.edited_at is 'When its message was last edited, if ever.';
comment on column public.pictures.post_url is 'The post in Telegram.';
comment on column public.pictures.caption is 'Its text without formatting; empty if there is none.';
comment on column public.pictures.caption_html is 'Its text as HTML, ready to be put into a page.';
comment on column public.pictures.tags is 'Its hashtags, in lower case, without the #.';
comment on column public.pictures.alt is 'What it shows, in words, if its editors have said it.';
comment on column public.pictures.kind is 'photo, animation, or video (its poster).';
comment on column public.pictures.width is 'Width of the original in pixels: for the attribute of <img>.';
comment on column public.pictures.height is 'Height of the original in pixels: for the attribute of <img>.';
comment on column public.pictures.src is 'The JPEG rendition; else the largest WebP, else the largest there is.';
comment on column public.pictures.srcset_avif is 'The AVIF renditions for srcset, by width; null if there is none.';
comment on column public.pictures.srcset_webp is 'The WebP renditions for srcset, by width; null if there is none.';
comment on column public.pictures.preview_url is 'A picture of 1200×630 for link cards, if there is one.';
comment on column public.pictures.color is 'Its mean colour: #rrggbb.';
comment on column public.pictures.thumbhash is 'A blurred copy to show while it loads: base64.';
comment on column public.pictures.phash is 'Its perceptual hash of 64 bits, as a signed number.';
comment on column public.pictures.has_alpha is 'Whether some of it is transparent.';
comment on column public.pictures.animated is 'Whether its renditions move.';

comment on view public.pictures_by_tag is
    'The rows of pictures, once for each of their tags: for pages of one tag (tag=eq.…), newest first.';
comment on column public.pictures_by_tag.tag is 'The hashtag, in lower case, without the #.';

-- Rights. A project gives every role all rights on new tables of `public` and leaves it to row level security to take
-- them back. Here they are taken back as well, so that a policy added by mistake lets nobody write.

alter table public.channels enable row level security;
alter table public.messages enable row level security;
alter table public.images enable row level security;
alter table public.message_tags enable row level security;

grant usage on schema public to anon, authenticated, service_role;
revoke all on table
    public.channels, public.messages, public.images, public.message_tags, public.pictures, public.pictures_by_tag
    from public, anon, authenticated;
grant select on table
    public.channels, public.messages, public.images, public.message_tags, public.pictures, public.pictures_by_tag
    to anon, authenticated, service_role;
grant insert, update, delete on table
    public.channels, public.messages, public.images, public.message_tags to service_role;

drop policy if exists "anybody reads channels" on public.channels;
create policy "anybody reads channels" on public.channels
    for select to anon, authenticated using (true);

-- Its name is that of an earlier version, so that applying this one leaves no wider policy behind.
drop policy if exists "anybody reads what is not deleted" on public.messages;
create policy "anybody reads what is not deleted" on public.messages
    for select to anon, authenticated using (deleted_at is null and hidden_at is null);

drop policy if exists "anybody reads images of what is not deleted" on public.images;
create policy "anybody reads images of what is not deleted" on public.images
    for select to anon, authenticated using (
        exists (
            select from public.messages as message
            where message.channel_id = images.channel_id
              and message.message_id = images.message_id
              and message.deleted_at is null
              and message.hidden_at is null
        )
    );

-- A trigger keeps these rows: those of what is deleted or hidden are not there.
drop policy if exists "anybody reads tags" on public.message_tags;
create policy "anybody reads tags" on public.message_tags
    for select to anon, authenticated using (true);

-- A hosted service_role bypasses row level security; one of a server of your own may not.

drop policy if exists "service_role does everything" on public.channels;
create policy "service_role does everything" on public.channels
    for all to service_role using (true) with check (true);

drop policy if exists "service_role does everything" on public.messages;
create policy "service_role does everything" on public.messages
    for all to service_role using (true) with check (true);

drop policy if exists "service_role does everything" on public.images;
create policy "service_role does everything" on public.images
    for all to service_role using (true) with check (true);

drop policy if exists "service_role does everything" on public.message_tags;
create policy "service_role does everything" on public.message_tags
    for all to service_role using (true) with check (true);

-- Functions. Each runs with the rights of its caller (security invoker): should EXECUTE ever be granted to the wrong
-- role, row level security and the rights above still stand between it and the tables.

-- One of each name: beside a second one, with other parameters, the interface cannot tell which is meant (PGRST203).

do $$
declare
    other regprocedure;
begin
    for other in
        select oid
        from pg_catalog.pg_proc
        where pronamespace = 'public'::regnamespace
          and proname in (
              'ingest_messages', 'picturedesk_referenced', 'picturedesk_named', 'picturedesk_faults',
              'picturedesk_version'
          )
          and (proname, oidvectortypes(proargtypes)) not in (
              ('ingest_messages', 'jsonb'), ('picturedesk_referenced', 'text[]'), ('picturedesk_named', 'text[]'),
              ('picturedesk_faults', ''), ('picturedesk_version', '')
          )
    loop
        raise warning 'dropped %, since there may be only one function of that name', other;
        execute format('drop routine %s', other);
    end loop;
end
$$;

create or replace function public.picturedesk_tag() returns trigger
language plpgsql volatile security invoker set search_path = ''
as $$
begin
    if tg_op = 'UPDATE' then
        if (new.tags, new.posted_at, new.deleted_at, new.hidden_at)
            is not distinct from (old.tags, old.posted_at, old.deleted_at, old.hidden_at) then
            return null;
        end if;
        delete from public.message_tags where channel_id = new.channel_id and message_id = new.message_id;
    end if;
    if new.deleted_at is null and new.hidden_at is null and new.tags is not null then
        insert into public.message_tags (channel_id, message_id, tag, posted_at)
        select distinct new.channel_id, new.message_id, tag, new.posted_at from unnest(new.tags) as tag;
    end if;
    return null;
end
$$;

comment on function public.picturedesk_tag() is 'Keeps message_tags as messages are, whoever changes them.';

drop trigger if exists message_is_tagged on public.messages;
create trigger message_is_tagged
    after insert or update of tags, posted_at, deleted_at, hidden_at on public.messages
    for each row execute function public.picturedesk_tag();

create or replace function public.ingest_messages(batch jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
declare
    whole bigint := jsonb_array_length(batch);
    fenced bigint[] := '{}';  -- places within the batch, from 1, of what a node may not write any more
    kept bigint[];  -- places of the others, if there are such
    applied bigint[];  -- of what was written: places within the others
begin
    -- For the policies of a node's role: what this function does, and nothing else (machines.sql).
    perform set_config('picturedesk.ingesting', 'yes', true);

    -- A node gives its receipt with each of its rows, and writes them only as long as that holds.
    if current_user = 'picturedesk_node' and exists (
        select from jsonb_array_elements(batch) as element (entry)
        where jsonb_typeof(entry -> 'receipt') is distinct from 'object'
    ) then
        raise exception using
            errcode = 'insufficient_privilege', message = 'a node may write only what it has a receipt for';
    end if;
    if exists (
        select from jsonb_array_elements(batch) as element (entry) where jsonb_typeof(entry -> 'receipt') = 'object'
    ) then
        if to_regnamespace('picturedesk') is null or to_regprocedure('picturedesk.accept(jsonb)') is null then
            raise exception using
                errcode = 'undefined_function', message = 'there are no queues: machines.sql was not applied',
                hint = 'bin/run schema --machines';
        end if;
        fenced := picturedesk.accept(batch);
    end if;
    if cardinality(fenced) > 0 then
        select array_agg(place order by place), coalesce(jsonb_agg(entry order by place), '[]')
        into kept, batch
        from jsonb_array_elements(batch) with ordinality as element (entry, place)
        where place <> all (fenced);
    end if;

    -- The casts below would make texts of these, and let an image go to another message.
    if exists (
        select from jsonb_array_elements(batch) as element (entry)
        where jsonb_typeof(entry -> 'channel' -> 'title') is distinct from 'string'
           or jsonb_typeof(entry -> 'channel' -> 'name') not in ('string', 'null')
           or jsonb_typeof(entry -> 'message' -> 'caption') is distinct from 'string'
           or entry -> 'message' -> 'channel_id' is distinct from entry -> 'channel' -> 'id'
           or jsonb_typeof(entry -> 'image') = 'object' and (
                  entry -> 'image' -> 'channel_id' is distinct from entry -> 'message' -> 'channel_id'
               or entry -> 'image' -> 'message_id' is distinct from entry -> 'message' -> 'message_id'
           )
    ) then
        raise exception using
            errcode = 'check_violation',
            message = 'title, name and caption must be texts, and channel, message and image must have the same ids';
    end if;

    -- Only what is new or renamed is touched, so that writers of one channel do not wait for each other at its row.
    -- A writer of an earlier version gives no name, and changes none.
    insert into public.channels as known (id, title, name)
    select latest.id, latest.title, latest.name
    from (
        select distinct on (channel.id)
            channel.id, channel.title,
            case when entry -> 'channel' ? 'name' then channel.name else same.name end as name,
            same.id is not null and same.title = channel.title as has_title,
            same.name as name_before
        from jsonb_array_elements(batch) with ordinality as element (entry, place)
        cross join lateral jsonb_to_record(entry -> 'channel') as channel (id bigint, title text, name text)
        left join public.channels as same on same.id = channel.id
        order by channel.id, place desc
    ) as latest
    where not latest.has_title or latest.name is distinct from latest.name_before
    order by latest.id
    on conflict (id) do update set title = excluded.title, name = excluded.name
    where known.title <> excluded.title or known.name is distinct from excluded.name;

    -- Every batch takes its rows in the order of their keys: two that overlap wait for each other, never in a circle.
    with newest as (
        select distinct on (message.channel_id, message.message_id) element.place, message.*
        from jsonb_array_elements(batch) with ordinality as element (entry, place)
        cross join lateral jsonb_populate_record(null::public.messages, element.entry -> 'message') as message
        order by message.channel_id, message.message_id, message.revision desc, element.place
    ), written as (
        insert into public.messages as known (
            channel_id, message_id, revision, grouped_id, caption, entities, forwarded_from, reply_to,
            posted_at, edited_at, deleted_at, hidden_at, alt, tags, is_cover, caption_html, caption_shown
        )
        select
            channel_id, message_id, revision, grouped_id, caption, coalesce(entities, '[]'), forwarded_from, reply_to,
            posted_at, edited_at, case when hidden_at is null then deleted_at end, hidden_at,
            alt, tags, coalesce(is_cover, false), caption_html, caption_shown
        from newest
        order by channel_id, message_id
        on conflict (channel_id, message_id) do update set
            revision = excluded.revision, grouped_id = excluded.grouped_id, caption = excluded.caption,
            entities = excluded.entities, forwarded_from = excluded.forwarded_from, reply_to = excluded.reply_to,
            posted_at = excluded.posted_at, edited_at = excluded.edited_at, deleted_at = excluded.deleted_at,
            hidden_at = excluded.hidden_at, alt = excluded.alt, tags = excluded.tags, is_cover = excluded.is_cover,
            caption_html = excluded.caption_html, caption_shown = excluded.caption_shown
        where excluded.revision > known.revision
        returning known.channel_id, known.message_id
    )
    select coalesce(array_agg(newest.place), '{}') into applied
    from newest join written using (channel_id, message_id);

    -- A statement of its own: it has to see the image that another batch has committed while this one waited above.
    delete from public.images as image
    using jsonb_array_elements(batch) with ordinality as element (entry, place)
    cross join lateral jsonb_populate_record(null::public.messages, element.entry -> 'message') as message
    where element.place = any (applied)
      and (message.deleted_at is not null or message.hidden_at is not null)
      and image.channel_id = message.channel_id
      and image.message_id = message.message_id;

    insert into public.images (
        channel_id, message_id, photo_id, sha256, mime, width, height, bytes, renditions,
        kind, preview, thumbhash, color, phash, has_alpha, animated, alt
    )
    select
        image.channel_id, image.message_id, image.photo_id, image.sha256, image.mime, image.width, image.height,
        image.bytes, image.renditions,
        image.kind, case when jsonb_typeof(image.preview) <> 'null' then image.preview end,
        image.thumbhash, image.color, image.phash, image.has_alpha, image.animated, image.alt
    from jsonb_array_elements(batch) with ordinality as element (entry, place)
    cross join lateral jsonb_populate_record(null::public.messages, element.entry -> 'message') as message
    cross join lateral jsonb_populate_record(null::public.images, element.entry -> 'image') as image
    where element.place = any (applied)
      and message.deleted_at is null
      and message.hidden_at is null
      and jsonb_typeof(element.entry -> 'image') = 'object'
    order by image.channel_id, image.message_id
    on conflict (channel_id, message_id) do update set
        photo_id = excluded.photo_id, sha256 = excluded.sha256, mime = excluded.mime, width = excluded.width,
        height = excluded.height, bytes = excluded.bytes, renditions = excluded.renditions, kind = excluded.kind,
        preview = excluded.preview, thumbhash = excluded.thumbhash, color = excluded.color, phash = excluded.phash,
        has_alpha = excluded.has_alpha, animated = excluded.animated, alt = excluded.alt;

    perform set_config('picturedesk.ingesting', '', true);
    return (
        select coalesce(jsonb_agg(case
            when place <> all (fenced) then place in (select coalesce(kept[one], one) from unnest(applied) as one)
        end order by place), '[]')
        from generate_series(1, whole) as place
    );
end
$$;

comment on function public.ingest_messages(jsonb) is
'Write a batch in one transaction: an array of {channel: {id, title, name}, message: {…}, image: {…} or null}, whose
keys are the columns. Of each message the highest revision wins, within the batch and against what is there. A message
with deleted_at leaves a tombstone and loses its image; so does one with hidden_at, whose deleted_at is passed over: it
is for an earlier version of this function, which knows no other way to hide. An image of null leaves the one that is
there. An element may have a receipt: {queue, msg_id, read_ct, key, result}, of a picture that was handed over to a node
(see machines.sql). If it holds, the picture leaves its queue and the result goes to its origin, in this transaction; if
it does not, nothing of the element is written. Returns an array of booleans, one for each element: whether it was written;
null if its receipt does not hold. A row that is refused undoes the whole batch.';

create or replace function public.picturedesk_referenced(sha256s text[]) returns jsonb
language sql stable security invoker set search_path = ''
as $$
    select coalesce(jsonb_agg(asked.sha256), '[]')
    from (select distinct unnest(sha256s) as sha256) as asked
    where exists (select from public.images as image where image.sha256 = asked.sha256);
$$;

comment on function public.picturedesk_referenced(text[]) is
'Those of the digests that some image still has: the objects named by the others can be deleted.';

create or replace function public.picturedesk_named(sha256s text[]) returns jsonb
language sql stable security invoker set search_path = ''
as $$
    select coalesce(jsonb_agg(distinct object ->> 'key'), '[]')
    from public.images as image
    cross join lateral jsonb_array_elements(image.renditions || coalesce(image.preview, '[]')) as object
    where image.sha256 = any (sha256s) and object ->> 'key' is not null;
$$;

comment on function public.picturedesk_named(text[]) is
'The keys of all renditions and previews that images with these digests name: their other objects can be deleted.';

create or replace function public.picturedesk_version() returns jsonb
language sql stable security invoker set search_path = ''
as $$ select '[3]'::jsonb; $$;

comment on function public.picturedesk_version() is
'The version of this file that was applied, in an array. The first had no such function; the second knew no receipts.';

create or replace function public.picturedesk_faults() returns jsonb
language sql stable security invoker set search_path = ''
as $$
    with wanted_column (tab, col) as (
        select tab, unnest(string_to_array(cols, ' '))
        from (values
            ('channels', 'id title name'),
            ('messages', 'channel_id message_id revision grouped_id caption posted_at edited_at deleted_at'),
            ('messages', 'entities forwarded_from reply_to'),
            ('messages', 'hidden_at alt tags is_cover caption_html caption_shown'),
            ('images', 'channel_id message_id photo_id sha256 mime width height bytes renditions'),
            ('images', 'kind preview thumbhash color phash has_alpha animated alt'),
            ('message_tags', 'channel_id message_id tag posted_at'),
            ('pictures', 'channel_id channel_name channel_title message_id grouped_id album_position posted_at'),
            ('pictures', 'edited_at post_url caption caption_html tags alt kind width height src srcset_avif'),
            ('pictures', 'srcset_webp preview_url color thumbhash phash has_alpha animated'),
            ('pictures_by_tag', 'tag channel_id message_id posted_at src')
        ) as wanted (tab, cols)
    ), wanted_policy (tab, policy) as (
        values
            ('channels', 'anybody reads channels'),
            ('messages', 'anybody reads what is not deleted'),
            ('images', 'anybody reads images of what is not deleted'),
            ('message_tags', 'anybody reads tags'),
            ('channels', 'service_role does everything'),
            ('messages', 'service_role does everything'),
            ('images', 'service_role does everything'),
            ('message_tags', 'service_role does everything')
    ), found (tab, id, is_view, is_secured) as (
        select relname::text, oid, relkind = 'v', case
            when relkind = 'v' then coalesce(
                (select option_value::boolean from pg_options_to_table(reloptions)
                 where option_name = 'security_invoker'), false)
            else relrowsecurity
        end
        from pg_catalog.pg_class
        where relnamespace = 'public'::regnamespace
          and relname in ('channels', 'messages', 'images', 'message_tags', 'pictures', 'pictures_by_tag')
    ), function (oid, is_ours) as (
        select oid, (proname, oidvectortypes(proargtypes)) in (
            ('ingest_messages', 'jsonb'), ('picturedesk_referenced', 'text[]'), ('picturedesk_named', 'text[]'),
            ('picturedesk_faults', ''), ('picturedesk_version', '')
        )
        from pg_catalog.pg_proc
        where pronamespace = 'public'::regnamespace
          and proname in (
              'ingest_messages', 'picturedesk_referenced', 'picturedesk_named', 'picturedesk_faults',
              'picturedesk_version'
          )
    ), fault (tab, what) as (
        select tab, format('the column %I of public.%I is missing', col, tab)
        from wanted_column join found using (tab)
        where not exists (
            select from pg_catalog.pg_attribute
            where attrelid = found.id and attname = col and attnum > 0 and not attisdropped
        )
        union all
        select tab, format('row level security of public.%I is off: whoever has the public key reads all of it', tab)
        from found where not is_secured and not is_view
        union all
        select tab, format('the view public.%I has its owner''s rights: it shows what row level security hides', tab)
        from found where not is_secured and is_view
        union all
        select tab, format('%s may not read public.%I', role, tab)
        from found
        cross join unnest(array['anon', 'authenticated']) as role
        where is_view and not has_table_privilege(role, found.id, 'SELECT')
        union all
        select tab, format('the policy "%s" on public.%I is missing', policy, tab)
        from wanted_policy join found using (tab)
        where not exists (
            select from pg_catalog.pg_policy where polrelid = found.id and polname = policy
        )
        union all
        select tab, format('the policy "%s" on public.%I says something else than it should', policy, tab)
        from wanted_policy join found using (tab)
        join pg_catalog.pg_policy on polrelid = found.id and polname = policy
        where obj_description(pg_policy.oid, 'pg_policy') is distinct from md5(concat_ws(
            '|', polcmd, polpermissive, polroles::regrole[],
            pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
        ))
        union all
        select tab, format('%s may %s public.%I', role, lower(privilege), tab)
        from found
        cross join unnest(array['anon', 'authenticated']) as role
        cross join unnest(array['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) as privilege
        where has_table_privilege(role, found.id, privilege)
        union all
        select tab, 'the trigger message_is_tagged on public.messages is missing or off'
        from found where tab = 'messages' and not exists (
            select from pg_catalog.pg_trigger
            where tgrelid = found.id and tgname = 'message_is_tagged' and tgenabled in ('O', 'A')
        )
        union all
        select '', format('there is a second function of that name: %s', function.oid::regprocedure)
        from function where not is_ours
        union all
        select '', format('%s may call %s', role, function.oid::regprocedure)
        from function
        cross join unnest(array['anon', 'authenticated']) as role
        where is_ours and has_function_privilege(role, function.oid, 'EXECUTE')
    )
    select coalesce(jsonb_agg(what order by tab, what), '[]') from fault;
$$;

comment on function public.picturedesk_faults() is
'What differs from this file in tables, views, columns, row level security, policies and rights: an array of texts.';

revoke all on function public.ingest_messages(jsonb) from public, anon, authenticated;
revoke all on function public.picturedesk_referenced(text[]) from public, anon, authenticated;
revoke all on function public.picturedesk_named(text[]) from public, anon, authenticated;
revoke all on function public.picturedesk_faults() from public, anon, authenticated;
revoke all on function public.picturedesk_version() from public, anon, authenticated;
revoke all on function public.picturedesk_tag() from public, anon, authenticated;
grant execute on function public.ingest_messages(jsonb) to service_role;
grant execute on function public.picturedesk_referenced(text[]) to service_role;
grant execute on function public.picturedesk_named(text[]) to service_role;
grant execute on function public.picturedesk_faults() to service_role;
grant execute on function public.picturedesk_version() to service_role;

-- Where many machines work, a node's role needs some of it. machines.sql says what.

do $$
begin
    if to_regnamespace('picturedesk') is not null and to_regprocedure('picturedesk.let_nodes_write()') is not null then
        perform picturedesk.let_nodes_write();
    end if;
end
$$;

-- What each policy says, as the database puts it, is written down beside it: so picturedesk_faults() sees when it is
-- changed. Names are written with their schema, as it reads them.

set local search_path = '';

do $$
declare
    policy record;
begin
    for policy in
        select polname, polrelid::regclass as tab, md5(concat_ws(
            '|', polcmd, polpermissive, polroles::regrole[],
            pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
        )) as digest
        from pg_catalog.pg_policy
        where (polrelid, polname) in (
            ('public.channels'::regclass, 'anybody reads channels'),
            ('public.messages'::regclass, 'anybody reads what is not deleted'),
            ('public.images'::regclass, 'anybody reads images of what is not deleted'),
            ('public.message_tags'::regclass, 'anybody reads tags'),
            ('public.channels'::regclass, 'service_role does everything'),
            ('public.messages'::regclass, 'service_role does everything'),
            ('public.images'::regclass, 'service_role does everything'),
            ('public.message_tags'::regclass, 'service_role does everything')
        )
    loop
        execute format('comment on policy %I on %s is %L', policy.polname, policy.tab, policy.digest);
    end loop;
end
$$;

-- The interface keeps a copy of the schema; this makes it look again.
notify pgrst, 'reload schema';

commit;
