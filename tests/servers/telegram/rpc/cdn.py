"""The content delivery network: the one method of its data centre, and what Telegram's own has about it."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from telethon.tl import types

from tests.servers.telegram.exchange import server_key
from tests.servers.telegram.media import CdnCopy, File
from tests.servers.telegram.rpc.files import check_part, digests_from, spoiled_part
from tests.servers.telegram.rpc.registry import Call, method
from tests.servers.telegram.tl import RpcError
from tests.servers.telegram.world import CDN_DC

DIGESTS = 4
"""The most that are given at once."""


@method("help.getCdnConfig")
def get_cdn_config(call: Call, request: Any) -> Any:
    return types.CdnConfig([types.CdnPublicKey(CDN_DC, server_key("its CDN").public)])


@method("upload.getCdnFile", without_login=True)
def get_cdn_file(call: Call, request: Any) -> Any:
    file, copy = _find(call, request.file_token)
    check_part(request.offset, request.limit)
    if not copy.is_there:
        return types.upload.CdnFileReuploadNeeded(copy.request_token)
    fault = call.hub.faults.take_file(file.id, request.offset)
    part = bytes(spoiled_part(_encrypted(file.data, copy), request.offset, request.limit, fault))
    call.hub.bytes_served += len(part)
    return types.upload.CdnFile(part)


@method("upload.reuploadCdnFile")
def reupload_cdn_file(call: Call, request: Any) -> Any:
    file, copy = _find(call, request.file_token)
    if request.request_token != copy.request_token:
        raise RpcError(400, "REQUEST_TOKEN_INVALID")
    if file.dc_id != call.dc_id:
        raise RpcError(400, "LOCATION_INVALID")
    copy.is_there = True
    return digests_from(file, 0)[:DIGESTS]


@method("upload.getCdnFileHashes")
def get_cdn_file_hashes(call: Call, request: Any) -> Any:
    file, _ = _find(call, request.file_token)
    return digests_from(file, request.offset)[:DIGESTS]


def _find(call: Call, token: bytes) -> tuple[File, CdnCopy]:
    for file in call.world.files.values():
        if file.cdn is not None and file.cdn.token == token:
            return file, file.cdn
    raise RpcError(400, "FILE_TOKEN_INVALID")


def _encrypted(data: bytes, copy: CdnCopy) -> bytes:
    # From the start on, with the counter at nought: so a client that counts wrongly gets nonsense.
    encryptor = Cipher(algorithms.AES(copy.key), modes.CTR(copy.iv[:12] + bytes(4))).encryptor()
    return encryptor.update(data) + encryptor.finalize()
