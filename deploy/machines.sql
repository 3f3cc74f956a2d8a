-- Picturedesk on many machines: the queues by which an origin hands pictures over to nodes. Optional, beside schema.sql;
-- either may be applied again at any time, in any order, and over an older version.
--
--   bin/run schema | psql "$DATABASE_URL"
--   bin/run schema --machines | psql "$DATABASE_URL"         or paste it into the project's SQL editor
--
-- It runs in one transaction, so it is applied whole or not at all. It needs the extension pgmq, which a hosted project
-- calls Queues, in version 1.5.1 or newer.
--
-- The queues pd_live_v1 and pd_backfill_v1 have what is handed over, pd_results_… (one for each origin) what became of
-- it. They are reached through the functions pd_… and ingest_messages() alone. Everything is for service_role, which is
-- what a secret key gives; what a node needs is for the role picturedesk_node, too.
--
-- A node may have a key of its own for that role: whoever has it can do a node's work on what is in the queues. They
-- read no row, and write only those of pictures that they were given. Such a key is a token that the project trusts,
-- {"role": "picturedesk_node", "exp": …}, signed with the project's JWT secret (HS256; Project Settings, JWT Keys), as
-- long as that is not revoked; or with a signing key of your own that you import there (`supabase gen signing-key
-- --algorithm ES256`; the token's header then has its kid). With the secret in $JWT_SECRET, good for a year:
--
--   b64() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
--   head="$(printf '{"alg":"HS256","typ":"JWT"}' | b64)"
--   body="$(printf '{"role":"picturedesk_node","exp":%d}' $(($(date +%s) + 31536000)) | b64)"
--   echo "$head.$body.$(printf %s "$head.$body" | openssl dgst -sha256 -hmac "$JWT_SECRET" -binary | b64)"
--
-- A project's gateway lets its own API keys in and nothing else: they go in the header `apikey`, and a token goes behind
-- them as `Authorization: Bearer`. So the node's catalog.key has both, with a colon between: the publishable (or anon)
-- key, and the token.
--
--   PICTUREDESK__CATALOG__KEY=sb_publishable_…:eyJ…
--
-- Before a PostgREST of your own, without a gateway, the token alone will do. A token cannot be taken back by itself:
-- `revoke picturedesk_node from authenticator` ends all of them, and so does another secret or signing key.

begin;

-- That something is there already is no news when it is run again.
set local client_min_messages = warning;

do $$
begin
    if to_regprocedure('pgmq.create(text)') is null then
        begin
            create extension if not exists pgmq;
        exception when others then
            raise exception 'the extension pgmq is missing, and cannot be made: %', sqlerrm
                using hint = 'Hosted: enable Queues under Integrations in the dashboard (or pgmq under Database, '
                    'Extensions), then apply this again. Your own server: install pgmq there';
        end;
    end if;
    if not exists (select from pg_catalog.pg_roles where rolname = 'picturedesk_node') then
        begin
            create role picturedesk_node nologin noinherit;
        exception when insufficient_privilege then
            raise exception 'the role picturedesk_node is missing, and cannot be made: %', sqlerrm
                using hint = 'As a superuser: create role picturedesk_node nologin noinherit; '
                    'grant picturedesk_node to authenticator. Then apply this again';
        end;
    end if;
    -- The interface's own role becomes the one that a token names.
    if exists (select from pg_catalog.pg_roles where rolname = 'authenticator')
        and not pg_has_role('authenticator', 'picturedesk_node', 'MEMBER') then
        grant picturedesk_node to authenticator;
    end if;
end
$$;

-- Tables. They are in a schema that the interface does not show, and are for the functions below alone.

create schema if not exists picturedesk;
comment on schema picturedesk is 'What Picturedesk needs to work on many machines.';
revoke all on schema picturedesk from public;
grant usage on schema picturedesk to service_role, picturedesk_node;

create table if not exists picturedesk.nodes (
    node      text        not null,
    about     jsonb       not null default '{}',
    last_seen timestamptz not null,
    finished  bigint      not null default 0,
    constraint nodes_pkey primary key (node)
);

create table if not exists picturedesk.leases (
    queue       text        not null,
    msg_id      bigint      not null,
    node        text        not null,
    taken_at    timestamptz not null,
    until       timestamptz not null,
    is_extended boolean     not null default false,
    is_returned boolean     not null default false,
    had         text[]      not null default '{}',
    lost        integer     not null default 0,
    constraint leases_pkey primary key (queue, msg_id)
);

comment on table picturedesk.nodes is 'The nodes of the last day.';
comment on column picturedesk.nodes.node is 'Its name.';
comment on column picturedesk.nodes.about is 'What it says of itself: {version, workers, in_hand, published, problems, bucket, reads}.';
comment on column picturedesk.nodes.last_seen is 'When it has asked last.';
comment on column picturedesk.nodes.finished is 'How many pictures it has published or given up.';

comment on table picturedesk.leases is 'Who has, or has had last, each message that was ever given out.';
comment on column picturedesk.leases.queue is 'The message''s queue.';
comment on column picturedesk.leases.msg_id is 'Its number there.';
comment on column picturedesk.leases.node is 'Who has it.';
comment on column picturedesk.leases.taken_at is 'Since when.';
comment on column picturedesk.leases.until is 'Until when, if the lease is not extended.';
comment on column picturedesk.leases.is_extended is 'Whether it was: then the node has got it, and worked on it.';
comment on column picturedesk.leases.is_returned is 'Whether the node has given it back.';
comment on column picturedesk.leases.had is 'Who has had it before, and has neither finished it nor given it back.';
comment on column picturedesk.leases.lost is 'How often the answer that gave it out was lost.';

alter table picturedesk.nodes enable row level security;
alter table picturedesk.leases enable row level security;
revoke all on table picturedesk.nodes, picturedesk.leases from public, anon, authenticated, picturedesk_node;

-- Queues

create or replace function picturedesk.make_queue(queue text, is_unique boolean) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
    tab regclass;
begin
    perform pg_advisory_xact_lock(hashtext('picturedesk.' || queue));  -- pgmq 1.5 makes one queue twice at once
    if to_regclass('pgmq.q_' || queue) is null then
        perform pgmq.create(queue);
    end if;
    execute format(
        'create %s index if not exists %I on pgmq.%I ((message ->> ''key''))',
        case when is_unique then 'unique' end, 'q_' || queue || '_key', 'q_' || queue
    );
    -- Should somebody open all queues to the interface, these stay closed.
    foreach tab in array array[to_regclass('pgmq.q_' || queue), to_regclass('pgmq.a_' || queue)] loop
        if tab is not null and not (select relrowsecurity from pg_catalog.pg_class where oid = tab) then
            execute format('alter table %s enable row level security', tab);
            execute format('revoke all on table %s from public, anon, authenticated, picturedesk_node', tab);
        end if;
    end loop;
end
$$;

comment on function picturedesk.make_queue(text, boolean) is
'Makes a queue if there is none, with an index by key.';

select picturedesk.make_queue('pd_live_v1', true), picturedesk.make_queue('pd_backfill_v1', true);

create or replace function picturedesk.queues() returns text[]
language sql immutable security invoker set search_path = ''
as $$ select array['pd_live_v1', 'pd_backfill_v1']; $$;

comment on function picturedesk.queues() is
'Those that pictures are handed over by, the more urgent first. Whoever locks messages does so in this order, then by
msg_id; a message before its lease, and both before a node: so none wait for each other in a circle.';

-- What the functions of the interface share

create or replace function picturedesk.demand(holds boolean, otherwise text) returns void
language plpgsql immutable security invoker set search_path = ''
as $$
begin
    if holds is not true then
        raise exception using errcode = 'check_violation', message = otherwise;
    end if;
end
$$;

comment on function picturedesk.demand(boolean, text) is 'Refuses what was asked for, unless that holds.';

create or replace function picturedesk.is_plain(value jsonb, longest integer) returns boolean
language sql immutable security invoker set search_path = ''
as $$
    select jsonb_typeof(value) = 'object' and length(value::text) <= longest
        and not jsonb_path_exists(value, 'strict $.**{20}')
        and not jsonb_path_exists(value, 'strict $.** ? (@ > 9223372036854775807 || @ < -9223372036854775808)');
$$;

comment on function picturedesk.is_plain(jsonb, integer) is
'Whether a value is an object of at most so many characters that every program can read: with no number beyond 64 bits, and
no more than 20 boxes within boxes.';

create or replace function picturedesk.note(node text, about jsonb, finished bigint) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
begin
    perform picturedesk.demand(length(note.node) between 1 and 200, 'a node needs a name of 1 to 200 characters');
    perform picturedesk.demand(
        note.about is null or picturedesk.is_plain(note.about, 10000),
        'what a node says of itself must be an object of at most 10 KB, with no number beyond 64 bits'
    );
    insert into picturedesk.nodes as known (node, about, last_seen, finished)
    values (note.node, coalesce(note.about, '{}'), clock_timestamp(), note.finished)
    on conflict (node) do update set
        about = coalesce(note.about, known.about), last_seen = excluded.last_seen,
        finished = known.finished + excluded.finished;
end
$$;

-- What was noted before such was refused.
update picturedesk.nodes set about = '{}' where not picturedesk.is_plain(about, 10000);

comment on function picturedesk.note(text, jsonb, bigint) is
'A node has asked: what it says of itself (null: as before), and how many more pictures it has finished.';

create or replace function picturedesk.held(receipts jsonb)
returns table (place bigint, queue text, msg_id bigint, message jsonb)
language plpgsql volatile security invoker set search_path = ''
as $$
declare
    one text;
begin
    perform picturedesk.demand(
        jsonb_typeof(receipts) = 'array' and jsonb_array_length(receipts) <= 1000,
        'receipts must be an array of at most 1000'
    );
    foreach one in array picturedesk.queues() loop
        return query execute format(
            'with wanted as (
                select
                    min(at) as at, (receipt ->> ''msg_id'')::bigint as number,
                    (receipt ->> ''read_ct'')::integer as read_ct, receipt ->> ''key'' as key
                from jsonb_array_elements($1) with ordinality as given (receipt, at)
                where receipt ->> ''queue'' = %1$L
                group by 2, 3, 4
            )
            select wanted.at, %1$L, queued.msg_id, queued.message
            from wanted join pgmq.%2$I as queued on queued.msg_id = wanted.number and queued.read_ct = wanted.read_ct
            where wanted.key = queued.message ->> ''key'' or wanted.key is null and not exists (
                select from wanted as other
                where other.number = wanted.number and other.read_ct = wanted.read_ct
                  and other.key = queued.message ->> ''key''
            )
            order by queued.msg_id
            for update of queued',
            one, 'q_' || one
        ) using receipts;
    end loop;
end
$$;

comment on function picturedesk.held(jsonb) is
'The messages of those receipts that hold, locked: each is there, was given to nobody else since (its read_ct), and is still
the one with that key: a database that was restored gives its numbers to other messages. Receipts of older nodes have no
key. `place` is the receipt''s in the array, from 1; of one that is there twice the first.';

create or replace function picturedesk.drop_message(queue text, msg_id bigint) returns text
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    node text;
begin
    execute format('delete from pgmq.%I where msg_id = $1', 'q_' || drop_message.queue) using drop_message.msg_id;
    delete from picturedesk.leases as lease
    where lease.queue = drop_message.queue and lease.msg_id = drop_message.msg_id
    returning lease.node into node;
    return node;
end
$$;

comment on function picturedesk.drop_message(text, bigint) is
'Takes a message out of a queue, with its lease; whose that was.';

create or replace function picturedesk.file_result(message jsonb, result jsonb) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
    origin text := message ->> 'origin';
begin
    -- One that its origin could not read would keep all behind it from it.
    perform picturedesk.demand(
        picturedesk.is_plain(result, 16000),
        'a result must be an object of at most 16 KB, with no number beyond 64 bits'
    );
    if origin ~ '^[0-9a-z]{1,32}$' then  -- what somebody else has put into a queue of ours has nobody to tell
        if to_regclass('pgmq.q_pd_results_' || origin) is null then
            perform picturedesk.make_queue('pd_results_' || origin, false);
        end if;
        perform pgmq.send('pd_results_' || origin, result || jsonb_build_object('key', message ->> 'key'));
    end if;
end
$$;

comment on function picturedesk.file_result(jsonb, jsonb) is
'Tells the message''s origin what became of it. Whose it is, the message says, and not who has worked on it.';

create or replace function picturedesk.accept(batch jsonb) returns bigint[]
language plpgsql volatile security definer set search_path = ''
as $$
declare
    receipts jsonb;
    fenced bigint[];
    one record;
    node text;
    finished jsonb := '{}';
begin
    select jsonb_agg(case when jsonb_typeof(entry -> 'receipt') = 'object' then entry -> 'receipt' end order by place)
    into receipts
    from jsonb_array_elements(batch) with ordinality as element (entry, place);
    select array_agg(place) into fenced
    from jsonb_array_elements(receipts) with ordinality as element (receipt, place)
    where jsonb_typeof(receipt) = 'object';
    for one in select * from picturedesk.held(receipts) loop
        perform picturedesk.demand(
            (batch -> (one.place::integer - 1) -> 'message' -> 'channel_id') = (one.message -> 'channel' -> 'id')
                and (batch -> (one.place::integer - 1) -> 'message' -> 'message_id') = (one.message -> 'message' -> 'id'),
            'the receipt is that of another message'
        );
        perform picturedesk.demand(
            (receipts -> (one.place::integer - 1) -> 'result' ->> 'outcome') = 'published',
            'what is written has a result of the outcome published'
        );
        -- A later revision than the origin's own would have its edits and tombstones come in vain. An earlier one is well:
        -- the message may have been edited before it had to be handed over again.
        continue when ((batch -> (one.place::integer - 1) -> 'message' ->> 'revision')::bigint
            <= (one.message -> 'message' ->> 'revision')::bigint) is not true;
        fenced := array_remove(fenced, one.place);
        node := picturedesk.drop_message(one.queue, one.msg_id);
        perform picturedesk.file_result(one.message, receipts -> (one.place::integer - 1) -> 'result');
        if node is not null then
            finished := finished || jsonb_build_object(node, coalesce((finished ->> node)::bigint, 0) + 1);
        end if;
    end loop;
    perform picturedesk.note(key, null, value::bigint) from (select * from jsonb_each_text(finished) order by 1) as each;
    return coalesce(fenced, '{}');
end
$$;

comment on function picturedesk.accept(jsonb) is
'For ingest_messages(), within its transaction: settles the receipts of a batch''s entries. Returns the places, from 1, of
those whose receipt does not hold, or is for an earlier revision: nothing of them may be written.';

create or replace function picturedesk.past(source text, number bigint, read_ct integer)
returns table (had text[], lost integer)
language plpgsql stable security invoker set search_path = ''
as $$
declare
    lease picturedesk.leases;
    alive timestamptz;
begin
    had := '{}';
    lost := 0;
    select * into lease from picturedesk.leases as known where known.queue = source and known.msg_id = number;
    if found and read_ct > 1 then  -- else the queue was made anew, and the lease is that of another message
        had := lease.had;
        lost := lease.lost;
        if lease.is_returned then
            return next;
            return;
        end if;
        select known.last_seen into alive from picturedesk.nodes as known where known.node = lease.node;
        if lease.is_extended or alive is null or alive <= lease.taken_at + (lease.until - lease.taken_at) / 2 then
            had := had || lease.node;
        else
            lost := lost + 1;
        end if;
    end if;
    return next;
end
$$;

comment on function picturedesk.past(text, bigint, integer) is
'Who has had a message, now that it is given out again, and has neither finished nor returned it. If its last node was
alive in the second half of the lease, and yet never extended it, it has not got the answer: that is counted as lost.';

create or replace function picturedesk.bury(queue text, msg_id bigint, message jsonb, had text[], node text) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
    names text := (select string_agg(distinct name, ', ' order by name) from unnest(had) as name);
    revision jsonb := message -> 'message' -> 'revision';  -- by its origin, who may say anything there
begin
    perform picturedesk.drop_message(queue, msg_id);
    perform picturedesk.file_result(message, jsonb_build_object(
        'v', 1, 'outcome', 'dead', 'node', coalesce(names, node),
        'revision', case
            when picturedesk.is_plain(jsonb_build_object('is', revision), 40) then coalesce(revision, '0') else '0'
        end, 'state', 'fetched', 'cause', 'poison',
        'reason', format(
            'it was given out %s times, and no node has finished it: %s', cardinality(had),
            coalesce(names, 'the answers were lost on their way')
        )
    ));
end
$$;

comment on function picturedesk.bury(text, bigint, jsonb, text[], text) is
'Takes a message that has brought down its nodes out of its queue, and tells its origin.';

create or replace function picturedesk.known(origin text, keys jsonb) returns setof text
language plpgsql stable security invoker set search_path = ''
as $$
begin
    perform picturedesk.demand(origin ~ '^[0-9a-z]{1,32}$', 'an origin is named by letters and digits');
    perform picturedesk.demand(
        jsonb_typeof(keys) = 'array' and jsonb_array_length(keys) <= 1000, 'keys must be an array of at most 1000'
    );
    -- One statement, so that none is missed which goes from a queue to the results just now.
    return query execute
        'select message ->> ''key'' from pgmq.q_pd_live_v1 where message ->> ''key'' = any ($1)
        union select message ->> ''key'' from pgmq.q_pd_backfill_v1 where message ->> ''key'' = any ($1)'
        || case when to_regclass('pgmq.q_pd_results_' || origin) is not null then format(
            ' union select message ->> ''key'' from pgmq.%I where message ->> ''key'' = any ($1)',
            'q_pd_results_' || origin
        ) else '' end
    using (select array_agg(key) from jsonb_array_elements_text(keys) as key);
end
$$;

comment on function picturedesk.known(text, jsonb) is 'Those of the keys that are in a queue, or have a result waiting.';

-- The interface. One function of each name: beside a second one it cannot tell which is meant (PGRST203).

do $$
declare
    other regprocedure;
begin
    for other in
        select oid
        from pg_catalog.pg_proc
        where pronamespace = 'public'::regnamespace
          and (proname, oidvectortypes(proargtypes)) not in (
              ('pd_hand_over', 'jsonb'), ('pd_take', 'text, jsonb, integer, integer'),
              ('pd_extend', 'text, jsonb, jsonb, integer'), ('pd_settle', 'text, jsonb'),
              ('pd_results', 'text, jsonb, integer'), ('pd_take_back', 'text, jsonb, boolean'),
              ('pd_status', 'text, jsonb'), ('pd_queued', 'text'), ('pd_machines', 'text'), ('pd_faults', '')
          )
          and proname in (
              'pd_hand_over', 'pd_take', 'pd_extend', 'pd_settle', 'pd_results', 'pd_take_back', 'pd_status',
              'pd_queued', 'pd_machines', 'pd_faults'
          )
    loop
        raise warning 'dropped %, since there may be only one function of that name', other;
        execute format('drop routine %s', other);
    end loop;
end
$$;

create or replace function public.pd_hand_over(jobs jsonb) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
    keys text[];
    waiting text[] := '{}';  -- whose result is there
    told text[];
    one text;
begin
    perform picturedesk.demand(
        jsonb_typeof(jobs) = 'array' and jsonb_array_length(jobs) <= 500, 'jobs must be an array of at most 500'
    );
    perform picturedesk.demand(
        coalesce(bool_and(coalesce(
            job ->> 'queue' in ('live', 'backfill')
                and job -> 'message' ->> 'origin' ~ '^[0-9a-z]{1,32}$'
                and split_part(job -> 'message' ->> 'key', ':', 1) = job -> 'message' ->> 'origin',
            false
        )), true),
        'each job needs a queue (live or backfill), and a message with its origin, and a key that begins with that'
    )
    from jsonb_array_elements(jobs) as job;
    select array_agg(job -> 'message' ->> 'key') into keys from jsonb_array_elements(jobs) as job;
    for one in select distinct job -> 'message' ->> 'origin' from jsonb_array_elements(jobs) as job order by 1 loop
        if to_regclass('pgmq.q_pd_results_' || one) is null then
            perform picturedesk.make_queue('pd_results_' || one, false);
        end if;
        execute format(
            'select array_agg(message ->> ''key'') from pgmq.%I where message ->> ''key'' = any ($1)', 'q_pd_results_' || one
        ) into told using keys;
        waiting := waiting || coalesce(told, '{}');
    end loop;
    insert into pgmq.q_pd_live_v1 (vt, message)
    select clock_timestamp(), job -> 'message'
    from jsonb_array_elements(jobs) with ordinality as element (job, place)
    where job ->> 'queue' = 'live'
      and not job -> 'message' ->> 'key' = any (waiting)
      and not exists (
          select from pgmq.q_pd_backfill_v1 as other where other.message ->> 'key' = job -> 'message' ->> 'key'
      )
    order by place
    on conflict ((message ->> 'key')) do nothing;
    insert into pgmq.q_pd_backfill_v1 (vt, message)
    select clock_timestamp(), job -> 'message'
    from jsonb_array_elements(jobs) with ordinality as element (job, place)
    where job ->> 'queue' = 'backfill'
      and not job -> 'message' ->> 'key' = any (waiting)
      and not exists (
          select from pgmq.q_pd_live_v1 as other where other.message ->> 'key' = job -> 'message' ->> 'key'
      )
    order by place
    on conflict ((message ->> 'key')) do nothing;
    return (
        select coalesce(jsonb_agg(jsonb_build_object('key', wanted.key, 'msg_id', coalesce(
            (select msg_id from pgmq.q_pd_live_v1 as queued where queued.message ->> 'key' = wanted.key),
            (select msg_id from pgmq.q_pd_backfill_v1 as queued where queued.message ->> 'key' = wanted.key)
        )) order by wanted.place), '[]')
        from unnest(keys) with ordinality as wanted (key, place)
    );
end
$$;

comment on function public.pd_hand_over(jsonb) is
'An origin hands pictures over: an array of {queue: live or backfill, message: {key, origin, …}}. Returns {key, msg_id} of
each. A key that is in a queue already is not put there again; one whose result is waiting is not either (msg_id null).';

create or replace function public.pd_take(node text, about jsonb, n integer, lease_seconds integer) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
#variable_conflict use_column
declare
    room integer := least(pd_take.n, 100);
    bucket text := pd_take.about ->> 'bucket';
    reads jsonb := pd_take.about -> 'reads';
    answer jsonb := '[]';
    source text;
    one record;
    past record;
begin
    perform picturedesk.demand(pd_take.n >= 0, 'how many to take must be 0 or more');
    perform picturedesk.demand(pd_take.lease_seconds between 1 and 86400, 'a lease has 1 to 86400 seconds');
    foreach source in array picturedesk.queues() loop
        for one in execute format(
            'with next as (
                select msg_id
                from pgmq.%1$I as queued
                where vt <= clock_timestamp() and not exists (
                    select from picturedesk.leases as lease
                    where lease.queue = %2$L and lease.msg_id = queued.msg_id
                      and lease.node = $3 and lease.is_returned and lease.until > clock_timestamp() - interval ''10 s''
                )
                and ($4 is null or coalesce(message #>> ''{terms,bucket}'', $4) = $4)
                and ($5 is null or coalesce(message -> ''v'', ''0'') <= $5)
                order by msg_id
                limit $1
                for update skip locked
            ), given as (
                update pgmq.%1$I as queued
                set vt = clock_timestamp() + make_interval(secs => $2), read_ct = read_ct + 1
                from next
                where queued.msg_id = next.msg_id
                returning queued.msg_id, queued.read_ct, queued.enqueued_at, queued.vt, queued.message
            )
            select * from given order by msg_id',
            'q_' || source, source
        ) using room, pd_take.lease_seconds, pd_take.node, bucket, reads loop
            select * into past from picturedesk.past(source, one.msg_id, one.read_ct);
            if cardinality(past.had) >= 5 or cardinality(past.had) + past.lost >= 20 then
                perform picturedesk.bury(source, one.msg_id, one.message, past.had, pd_take.node);
                continue;
            end if;
            insert into picturedesk.leases (queue, msg_id, node, taken_at, until, had, lost)
            values (source, one.msg_id, pd_take.node, clock_timestamp(), one.vt, past.had, past.lost)
            on conflict (queue, msg_id) do update set
                node = excluded.node, taken_at = excluded.taken_at, until = excluded.until, is_extended = false,
                is_returned = false, had = excluded.had, lost = excluded.lost;
            room := room - 1;
            answer := answer || jsonb_build_object(
                'queue', source, 'msg_id', one.msg_id, 'read_ct', one.read_ct, 'enqueued_at', one.enqueued_at,
                'message', one.message
            );
        end loop;
        exit when room <= 0;
    end loop;
    perform picturedesk.note(pd_take.node, coalesce(pd_take.about, '{}'), 0);
    return answer;
end
$$;

comment on function public.pd_take(text, jsonb, integer, integer) is
'Gives a node up to n messages, the urgent ones first, for lease_seconds: {queue, msg_id, read_ct, enqueued_at, message}.
The first three and the message''s key are its receipt. Nobody else gets them meanwhile. A message that five nodes (or
one five times) have let go without a word is given out no more: its origin is told that it is dead. Returned ones do not
count, nor those whose node was alive and yet never extended the lease: it has not got the answer. The node that has
returned a message does not get it within 10 s. A node whose about has a bucket gets only what is for that one, and with
reads, the highest version of messages that it understands, nothing newer. With n = 0 a node only says that it is alive.';

create or replace function public.pd_extend(node text, about jsonb, receipts jsonb, lease_seconds integer) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
#variable_conflict use_column
declare
    held jsonb := '[]';
    vt timestamptz;
    one record;
begin
    perform picturedesk.demand(
        pd_extend.lease_seconds between 1 and 86400, 'a lease has 1 to 86400 seconds'
    );
    for one in select * from picturedesk.held(pd_extend.receipts) loop
        vt := clock_timestamp() + make_interval(secs => pd_extend.lease_seconds);
        execute format('update pgmq.%I set vt = $2 where msg_id = $1', 'q_' || one.queue) using one.msg_id, vt;
        update picturedesk.leases as lease
        set until = vt, is_extended = true, is_returned = false
        where lease.queue = one.queue and lease.msg_id = one.msg_id;
        held := held || (pd_extend.receipts -> (one.place::integer - 1));
    end loop;
    perform picturedesk.note(pd_extend.node, coalesce(pd_extend.about, '{}'), 0);
    return held;
end
$$;

comment on function public.pd_extend(text, jsonb, jsonb, integer) is
'Keeps those messages for lease_seconds from now. Returns the receipts that hold: the others are somebody else''s by now,
or gone, and nothing may be done for them any more.';

create or replace function public.pd_settle(node text, receipts jsonb) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
#variable_conflict use_column
declare
    held jsonb := '[]';
    finished bigint := 0;
    receipt jsonb;
    one record;
begin
    for one in select * from picturedesk.held(pd_settle.receipts) loop
        receipt := pd_settle.receipts -> (one.place::integer - 1);
        if coalesce(receipt -> 'result', 'null') = 'null' then
            execute format('update pgmq.%I set vt = clock_timestamp() where msg_id = $1', 'q_' || one.queue)
            using one.msg_id;
            update picturedesk.leases as lease
            set until = clock_timestamp(), is_returned = true
            where lease.queue = one.queue and lease.msg_id = one.msg_id;
        else
            perform picturedesk.demand(
                receipt -> 'result' ->> 'outcome' = 'dead', 'what is settled is returned, or dead'
            );
            perform picturedesk.drop_message(one.queue, one.msg_id);
            perform picturedesk.file_result(one.message, receipt -> 'result');
            finished := finished + 1;
        end if;
        held := held || receipt;
    end loop;
    perform picturedesk.note(pd_settle.node, null, finished);
    return held;
end
$$;

comment on function public.pd_settle(text, jsonb) is
'A node gives messages up: a receipt with a result is dead, and its origin is told; one whose result is null is returned,
and others get it at once. Returns the receipts that held.';

create or replace function public.pd_results(origin text, done jsonb, n integer) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
    results text := 'q_pd_results_' || origin;
    answer jsonb;
begin
    perform picturedesk.demand(origin ~ '^[0-9a-z]{1,32}$', 'an origin is named by letters and digits');
    perform picturedesk.demand(jsonb_typeof(done) = 'array', 'what is done must be an array of msg_ids');
    if to_regclass('pgmq.' || results) is null then
        return '[]';
    end if;
    if jsonb_array_length(done) > 0 then
        execute format('delete from pgmq.%I where msg_id = any ($1)', results)
        using (select array_agg(number::bigint) from jsonb_array_elements_text(done) as number);
    end if;
    execute format(
        'select coalesce(jsonb_agg(jsonb_build_object(
            ''msg_id'', msg_id, ''enqueued_at'', enqueued_at, ''result'', case
                when picturedesk.is_plain(message, 20000) then message
                else jsonb_build_object(  -- filed before such were refused
                    ''v'', 1, ''key'', left(message ->> ''key'', 200), ''node'', left(message ->> ''node'', 200),
                    ''revision'', 0, ''outcome'', ''one that no program can read'', ''state'', null, ''cause'', null
                )
            end
        ) order by msg_id), ''[]'')
        from (select msg_id, enqueued_at, message from pgmq.%I order by msg_id limit $1) as next', results
    ) into answer using least(greatest(n, 0), 500);
    return answer;
end
$$;

comment on function public.pd_results(text, jsonb, integer) is
'What became of an origin''s pictures: the next n {msg_id, enqueued_at, result}, the oldest first, after those that are
done are deleted. Each comes again until it is done.';

create or replace function public.pd_take_back(origin text, keys jsonb, untaken_only boolean) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
    queue text;
    number bigint;
begin
    perform picturedesk.demand(
        jsonb_typeof(keys) = 'array' and jsonb_array_length(keys) <= 1000, 'keys must be an array of at most 1000'
    );
    foreach queue in array picturedesk.queues() loop
        for number in execute format(
            'select msg_id from pgmq.%I
            where message ->> ''key'' = any ($1)
              and message ->> ''origin'' = $2
              and (not $3 or vt <= clock_timestamp())
            order by msg_id
            for update', 'q_' || queue
        ) using (select array_agg(key) from jsonb_array_elements_text(keys) as key), origin, untaken_only loop
            perform picturedesk.drop_message(queue, number);
        end loop;
    end loop;
    return (
        select coalesce(jsonb_agg(key order by place), '[]')
        from jsonb_array_elements_text(keys) with ordinality as asked (key, place)
        where key not in (select picturedesk.known(origin, keys))
    );
end
$$;

comment on function public.pd_take_back(text, jsonb, boolean) is
'An origin takes pictures back, with untaken_only those that no node holds. Returns the keys that are neither in a queue
nor among the results now, this call''s and those of an earlier one whose answer was lost. A node''s receipt for them does
not hold any more.';

create or replace function public.pd_status(origin text, keys jsonb) returns jsonb
language sql volatile security definer set search_path = ''
as $$
    select coalesce(jsonb_agg(key order by key), '[]') from picturedesk.known(origin, keys) as key;
$$;

comment on function public.pd_status(text, jsonb) is
'Those of an origin''s keys that are in a queue, or have a result waiting.';

create or replace function public.pd_queued(origin text) returns jsonb
language sql volatile security definer set search_path = ''
as $$
    select coalesce(jsonb_agg(key), '[]')
    from (
        select message ->> 'key' as key from pgmq.q_pd_live_v1 where message ->> 'origin' = pd_queued.origin
        union all
        select message ->> 'key' from pgmq.q_pd_backfill_v1 where message ->> 'origin' = pd_queued.origin
        limit 1000
    ) as queued
    where key is not null;
$$;

comment on function public.pd_queued(text) is
'The keys of all that is in a queue of an origin''s, a thousand at most. It takes back what it does not wait for: a database
that was restored has hand-overs that have ended since.';

create or replace function public.pd_machines(origin text) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
    queue text;
    one jsonb;
    queues jsonb := '[]';
    results bigint := 0;
begin
    delete from picturedesk.leases as lease
    using (
        select old.queue, old.msg_id from picturedesk.leases as old
        where old.until < clock_timestamp() - interval '1 day' limit 100 for update skip locked
    ) as old
    where (lease.queue, lease.msg_id) = (old.queue, old.msg_id);
    delete from picturedesk.nodes as known
    using (
        select old.node from picturedesk.nodes as old
        where old.last_seen < clock_timestamp() - interval '1 day' limit 100 for update skip locked
    ) as old
    where known.node = old.node;
    foreach queue in array picturedesk.queues() loop
        execute format(
            'select jsonb_build_object(
                ''queue'', $1,
                ''length'', (select count(*) from (select from pgmq.%1$I limit 100000) as queued),
                ''oldest_seconds'', (
                    select greatest(extract(epoch from clock_timestamp() - enqueued_at), 0)
                    from pgmq.%1$I order by msg_id limit 1
                ),
                ''taken'', (select count(*) from pgmq.%1$I where vt > clock_timestamp())
            )', 'q_' || queue
        ) into one using substring(queue from '^pd_(.*)_v[0-9]+$');
        queues := queues || one;
    end loop;
    if origin ~ '^[0-9a-z]{1,32}$' and to_regclass('pgmq.q_pd_results_' || origin) is not null then
        execute format(
            'select count(*) from (select from pgmq.%I limit 100000) as waiting', 'q_pd_results_' || origin
        ) into results;
    end if;
    return jsonb_build_array(jsonb_build_object(
        'version', 2,
        'nodes', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'node', known.node,
                'about', known.about,
                'last_seen_seconds', greatest(extract(epoch from clock_timestamp() - known.last_seen), 0),
                'in_hand', coalesce(holding.messages, 0),
                'finished', known.finished
            ) order by known.node), '[]')
            from (select * from picturedesk.nodes order by last_seen desc limit 1000) as known
            left join (
                select lease.node, count(*) as messages
                from picturedesk.leases as lease
                where not lease.is_returned and case lease.queue
                    when 'pd_live_v1' then exists (
                        select from pgmq.q_pd_live_v1 as queued where queued.msg_id = lease.msg_id
                    )
                    else exists (select from pgmq.q_pd_backfill_v1 as queued where queued.msg_id = lease.msg_id)
                end
                group by lease.node
            ) as holding using (node)
        ),
        'queues', queues,
        'results', results
    ));
end
$$;

comment on function public.pd_machines(text) is
'How things are, in an array of one: {version, nodes: [{node, about, last_seen_seconds, in_hand, finished}], queues:
[{queue, length, oldest_seconds, taken}], results}. Nodes are those of the last day, a thousand at most. A node has in hand
what it was given last, even if its lease has run out; taken are those whose lease has not. results is how many wait for
that origin. version is this file''s; the first had none.';

create or replace function public.pd_faults() returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
    faults text[] := '{}';
    installed text := (select extversion from pg_catalog.pg_extension where extname = 'pgmq');
    rows_version jsonb;
begin
    if installed ~ '^[0-9]+(\.[0-9]+)*$' and string_to_array(installed, '.')::integer[] < '{1,5,1}' then
        faults := faults || format(
            'the extension pgmq is of version %s: it needs 1.5.1 or newer (alter extension pgmq update)', installed
        );
    end if;
    if to_regprocedure('pgmq.create(text)') is null or to_regprocedure('pgmq.send(text, jsonb)') is null then
        faults := faults || 'the extension pgmq is missing'::text;
    end if;
    if to_regprocedure('public.picturedesk_version()') is not null then
        execute 'select public.picturedesk_version()' into rows_version;
    end if;
    if coalesce((rows_version ->> 0)::integer, 1) < 3 then
        faults := faults || 'the function public.ingest_messages is of an earlier version, which knows no receipts: '
            'apply schema.sql again (bin/run schema)'::text;
    end if;
    return to_jsonb(faults || array(
        with wanted_function (name, arguments, is_for_nodes) as (
            values
                ('pd_hand_over', 'jsonb', false), ('pd_take', 'text, jsonb, integer, integer', true),
                ('pd_extend', 'text, jsonb, jsonb, integer', true), ('pd_settle', 'text, jsonb', true),
                ('pd_results', 'text, jsonb, integer', false), ('pd_take_back', 'text, jsonb, boolean', false),
                ('pd_status', 'text, jsonb', false), ('pd_queued', 'text', false), ('pd_machines', 'text', true),
                ('pd_faults', '', true), ('ingest_messages', 'jsonb', true), ('picturedesk_version', '', true),
                ('picturedesk_faults', '', true)
        ), found (oid, name, is_ours, is_for_nodes) as (
            select function.oid, wanted.name, oidvectortypes(function.proargtypes) = wanted.arguments, wanted.is_for_nodes
            from wanted_function as wanted
            join pg_catalog.pg_proc as function
                on function.proname = wanted.name and function.pronamespace = 'public'::regnamespace
        ), node (oid) as (
            select oid from pg_catalog.pg_roles where rolname = 'picturedesk_node'
        ), queue (name, tab) as (
            select name, to_regclass('pgmq.q_' || name) from unnest(picturedesk.queues()) as name
        ), fault (what) as (
            select format('the queue %s is missing', name) from queue where tab is null
            union all
            select format('the queue %s has no unique index by key: a picture may be handed over twice', name)
            from queue
            where tab is not null and not exists (
                select from pg_catalog.pg_index
                where indrelid = tab and indisunique and indisvalid
                  and pg_get_indexdef(indexrelid) like '%((message ->> ''key''::text))%'
            )
            union all
            select format('row level security of pgmq.q_%s is off: whoever may use all queues may use it', name)
            from queue
            where tab is not null and not (select relrowsecurity from pg_catalog.pg_class where oid = tab)
            union all
            select 'the role picturedesk_node is missing' where not exists (select from node)
            union all
            select 'the role picturedesk_node is not granted to authenticator: no node''s own key is taken'
            where exists (select from node)
              and to_regrole('authenticator') is not null
              and not pg_has_role('authenticator', (select oid from node), 'MEMBER')
            union all
            select format('the function public.%s is missing', name)
            from wanted_function where not exists (select from found where found.name = wanted_function.name and is_ours)
            union all
            select format('there is a second function of that name: %s', oid::regprocedure) from found where not is_ours
            union all
            select format('%s may call %s', role, found.oid::regprocedure)
            from found
            cross join unnest(array['anon', 'authenticated']) as role
            where is_ours and has_function_privilege(role, found.oid, 'EXECUTE')
            union all
            select format('picturedesk_node may %scall %s', case when is_for_nodes then 'not ' end, found.oid::regprocedure)
            from found cross join node
            where is_ours and has_function_privilege(node.oid, found.oid, 'EXECUTE') <> is_for_nodes
            union all
            select format('the policy "%s" on public.%s is missing', 'a node writes what it was given', tab)
            from unnest(array['channels', 'messages', 'images', 'message_tags']) as tab
            where to_regclass('public.' || tab) is not null and not exists (
                select from pg_catalog.pg_policy
                where polrelid = to_regclass('public.' || tab) and polname = 'a node writes what it was given'
            )
        )
        select what from fault order by what
    ));
end
$$;

comment on function public.pd_faults() is 'What of this file is missing, or is other than it should be: an array of texts.';

revoke all on function public.pd_hand_over(jsonb) from public, anon, authenticated, picturedesk_node;
revoke all on function public.pd_take(text, jsonb, integer, integer) from public, anon, authenticated, picturedesk_node;
revoke all on function public.pd_extend(text, jsonb, jsonb, integer) from public, anon, authenticated, picturedesk_node;
revoke all on function public.pd_settle(text, jsonb) from public, anon, authenticated, picturedesk_node;
revoke all on function public.pd_results(text, jsonb, integer) from public, anon, authenticated, picturedesk_node;
revoke all on function public.pd_take_back(text, jsonb, boolean) from public, anon, authenticated, picturedesk_node;
revoke all on function public.pd_status(text, jsonb) from public, anon, authenticated, picturedesk_node;
revoke all on function public.pd_queued(text) from public, anon, authenticated, picturedesk_node;
revoke all on function public.pd_machines(text) from public, anon, authenticated, picturedesk_node;
revoke all on function public.pd_faults() from public, anon, authenticated, picturedesk_node;
grant execute on function public.pd_hand_over(jsonb) to service_role;
grant execute on function public.pd_take(text, jsonb, integer, integer) to service_role, picturedesk_node;
grant execute on function public.pd_extend(text, jsonb, jsonb, integer) to service_role, picturedesk_node;
grant execute on function public.pd_settle(text, jsonb) to service_role, picturedesk_node;
grant execute on function public.pd_results(text, jsonb, integer) to service_role;
grant execute on function public.pd_take_back(text, jsonb, boolean) to service_role;
grant execute on function public.pd_status(text, jsonb) to service_role;
grant execute on function public.pd_queued(text) to service_role;
grant execute on function public.pd_machines(text) to service_role, picturedesk_node;
grant execute on function public.pd_faults() to service_role, picturedesk_node;

-- A node's rows. ingest_messages() has the rights of its caller; the policies open the tables within it alone, so with
-- this role's key nobody reads or writes them by himself. schema.sql calls this, too: whichever comes last.

create or replace function picturedesk.let_nodes_write() returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
    tab text;
begin
    grant usage on schema public to picturedesk_node;
    grant select, insert on table public.channels, public.messages, public.images, public.message_tags to picturedesk_node;
    grant update on table public.channels, public.messages, public.images to picturedesk_node;
    grant delete on table public.images, public.message_tags to picturedesk_node;
    foreach tab in array array['channels', 'messages', 'images', 'message_tags'] loop
        execute format('drop policy if exists "a node writes what it was given" on public.%I', tab);
        execute format(
            'create policy "a node writes what it was given" on public.%I for all to picturedesk_node
                using (current_setting(''picturedesk.ingesting'', true) = ''yes'')
                with check (current_setting(''picturedesk.ingesting'', true) = ''yes'')', tab
        );
    end loop;
    grant execute on function public.ingest_messages(jsonb) to picturedesk_node;
    grant execute on function public.picturedesk_version() to picturedesk_node;
    grant execute on function public.picturedesk_faults() to picturedesk_node;
end
$$;

comment on function picturedesk.let_nodes_write() is 'Gives the role of nodes what ingest_messages() needs.';

revoke all on all functions in schema picturedesk from public, anon, authenticated, picturedesk_node;
grant execute on function picturedesk.accept(jsonb) to service_role, picturedesk_node;

do $$
begin
    if to_regprocedure('public.picturedesk_version()') is not null then
        perform picturedesk.let_nodes_write();
    end if;
end
$$;

-- The interface keeps a copy of the schema; this makes it look again.
notify pgrst, 'reload schema';

commit;
