"""The account: configuration, who one is, the state of its updates."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from telethon.tl import types

from tests.servers.telegram.media import moment
from tests.servers.telegram.rpc.registry import Call, method
from tests.servers.telegram.tl import RpcError
from tests.servers.telegram.world import CDN_DC

PTS = 1
"""The account's own pts never moves: it has private chats only, and there are none."""


@method("help.getConfig", without_login=True)
def get_config(call: Call, request: Any) -> Any:
    now = moment(call.world.now())
    options = [
        types.DcOption(dc, "127.0.0.1", port, static=True, cdn=dc == CDN_DC)
        for dc, port in sorted(call.hub.ports.items())
    ]
    return types.Config(
        date=now,
        expires=moment(call.world.now() + 3600),
        test_mode=False,
        this_dc=call.dc_id,
        dc_options=options,
        dc_txt_domain_name="",
        chat_size_max=200,
        megagroup_size_max=200_000,
        forwarded_count_max=100,
        online_update_period_ms=210_000,
        offline_blur_timeout_ms=5_000,
        offline_idle_timeout_ms=30_000,
        online_cloud_timeout_ms=300_000,
        notify_cloud_delay_ms=30_000,
        notify_default_delay_ms=1_500,
        push_chat_period_ms=60_000,
        push_chat_limit=2,
        edit_time_limit=172_800,
        revoke_time_limit=2_147_483_647,
        revoke_pm_time_limit=2_147_483_647,
        rating_e_decay=2_419_200,
        stickers_recent_limit=200,
        channels_read_media_period=604_800,
        call_receive_timeout_ms=20_000,
        call_ring_timeout_ms=90_000,
        call_connect_timeout_ms=30_000,
        call_packet_timeout_ms=10_000,
        me_url_prefix="https://t.me/",
        caption_length_max=1024,
        message_length_max=4096,
        webfile_dc_id=4,
    )


@method("help.getNearestDc", without_login=True)
def get_nearest_dc(call: Call, request: Any) -> Any:
    return types.NearestDc("XX", call.dc_id, call.dc_id)


@method("users.getUsers")
def get_users(call: Call, request: Any) -> Any:
    return [call.world.user() if _is_self(call, one) else types.UserEmpty(_user_id(one)) for one in request.id]


@method("users.getFullUser")
def get_full_user(call: Call, request: Any) -> Any:
    if not _is_self(call, request.id):
        raise RpcError(400, "USER_ID_INVALID")
    full = types.UserFull(
        id=call.world.user_id,
        settings=types.PeerSettings(),
        notify_settings=types.PeerNotifySettings(),
        common_chats_count=0,
    )
    return types.users.UserFull(full, [], [call.world.user()])


@method("updates.getState")
def get_state(call: Call, request: Any) -> Any:
    return state(call)


@method("updates.getDifference")
def get_difference(call: Call, request: Any) -> Any:
    """No difference of its own, but the channels in which something has happened since then."""
    # The date's whole second: rather a channel too many than one too few.
    since = (request.date or datetime.fromtimestamp(0, UTC)).timestamp()
    changed = [
        channel
        for channel in call.world.channels.values()
        if channel.member and channel.changes and channel.changes[-1].at >= since
    ]
    if not changed or not call.world.announces_channels:
        return types.updates.DifferenceEmpty(moment(call.world.now()), 0)
    return types.updates.Difference(
        new_messages=[],
        new_encrypted_messages=[],
        other_updates=[types.UpdateChannelTooLong(channel.id, channel.pts) for channel in changed],
        chats=[call.world.chat(channel) for channel in changed],
        users=[],
        state=state(call),
    )


def state(call: Call) -> Any:
    return types.updates.State(pts=PTS, qts=0, date=moment(call.world.now()), seq=0, unread_count=0)


def _is_self(call: Call, given: Any) -> bool:
    return isinstance(given, types.InputUserSelf) or _user_id(given) == call.world.user_id


def _user_id(given: Any) -> int:
    return int(getattr(given, "user_id", 0))
