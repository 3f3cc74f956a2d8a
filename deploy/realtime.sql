-- Picturedesk: has Supabase Realtime tell browsers of pictures as they are published, changed and deleted. Optional,
-- after schema.sql; it may be applied again at any time. docs/realtime.md says how to read it, and how to end it.
--
-- Each change is a broadcast on the private channel `pictures`, to which anybody may listen and nobody may send:
-- `published` and `changed` with the row of the view `pictures`, `deleted` with channel_id and message_id alone. It goes
-- out when the transaction of the change commits. What is hidden or deleted is told of as `deleted`, without its row.

begin;

do $$
begin
    if not exists (
        select from pg_catalog.pg_proc
        where pronamespace = to_regnamespace('realtime') and proname = 'send'
          and array['payload', 'event', 'topic', 'private'] <@ proargnames
    ) or to_regclass('realtime.messages') is null then
        raise exception 'this database has no Realtime that broadcasts from it: realtime.send is missing'
            using hint = 'A hosted project has it; a server of your own needs supabase/realtime 2.33 or newer';
    end if;
    if to_regclass('public.pictures') is null then
        raise exception 'the view public.pictures is missing' using hint = 'Apply schema.sql first: bin/run schema';
    end if;
end
$$;

-- With the rights of its owner: the writer's role may know nothing of Realtime. Nobody can call it but the trigger.

create or replace function public.picturedesk_broadcast() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
    address jsonb := jsonb_build_object('channel_id', new.channel_id, 'message_id', new.message_id);
    was_shown boolean := tg_op = 'UPDATE' and old.deleted_at is null and old.hidden_at is null;
    now_shown jsonb;
begin
    -- Not what an update of the schema fills in.
    if tg_op = 'UPDATE' and (old.revision, old.deleted_at, old.hidden_at) is not distinct from
                            (new.revision, new.deleted_at, new.hidden_at) then
        return null;
    end if;
    select to_jsonb(picture) into now_shown
    from public.pictures as picture
    where picture.channel_id = new.channel_id and picture.message_id = new.message_id;
    if now_shown is null and not was_shown then
        return null;
    end if;
    perform realtime.send(
        payload => coalesce(now_shown, address),
        event => case when now_shown is null then 'deleted' when was_shown then 'changed' else 'published' end,
        topic => 'pictures',
        private => true
    );
    return null;
exception when others then
    -- A row matters more than who hears of it at once.
    raise warning 'no broadcast of a change of picture %: %', address, sqlerrm;
    return null;
end
$$;

comment on function public.picturedesk_broadcast() is
'Tells the channel "pictures" of Realtime of a change of a message, when its transaction commits.';

revoke all on function public.picturedesk_broadcast() from public, anon, authenticated;

-- Deferred: the message is written before its image, and the row is told of that both make. Every change of a picture
-- is one of its message, too.

drop trigger if exists picturedesk_broadcast on public.messages;
create constraint trigger picturedesk_broadcast
    after insert or update on public.messages
    deferrable initially deferred
    for each row execute function public.picturedesk_broadcast();

drop policy if exists "anybody hears of pictures" on realtime.messages;
create policy "anybody hears of pictures" on realtime.messages
    for select to anon, authenticated
    using (extension = 'broadcast' and (select realtime.topic()) = 'pictures');

commit;
