-- A stand-in for pgmq as a hosted project has it (1.5.1): of its functions those that deploy/machines.sql uses, and its
-- queues' tables column by column. Its own SQL is in no package.

create schema pgmq;

create table pgmq.meta (
    queue_name     varchar     not null unique,
    is_partitioned boolean     not null,
    is_unlogged    boolean     not null,
    created_at     timestamptz not null default now()
);

create function pgmq.create(queue_name text) returns void
language plpgsql
as $$
begin
    if length(queue_name) >= 48 then
        raise exception 'queue name is too long, maximum length is 48 characters';
    end if;
    execute format(
        'create table if not exists pgmq.%I (
            msg_id bigint generated always as identity primary key, read_ct int not null default 0,
            enqueued_at timestamptz not null default now(), vt timestamptz not null, message jsonb, headers jsonb
        )', lower('q_' || queue_name)
    );
    execute format(
        'create table if not exists pgmq.%I (
            msg_id bigint primary key, read_ct int not null default 0, enqueued_at timestamptz not null default now(),
            archived_at timestamptz not null default now(), vt timestamptz not null, message jsonb, headers jsonb
        )', lower('a_' || queue_name)
    );
    execute format(
        'create index if not exists %I on pgmq.%I (vt)', lower('q_' || queue_name) || '_vt_idx', lower('q_' || queue_name)
    );
    insert into pgmq.meta (queue_name, is_partitioned, is_unlogged) values (queue_name, false, false) on conflict do nothing;
end
$$;

create function pgmq.send(queue_name text, msg jsonb) returns setof bigint
language plpgsql
as $$
begin
    return query execute format(
        'insert into pgmq.%I (vt, message) values (clock_timestamp(), $1) returning msg_id', lower('q_' || queue_name)
    ) using msg;
end
$$;
