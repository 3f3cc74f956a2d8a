"""upload.getFile: files in parts, as Telegram allows them to be asked for."""

from __future__ import annotations

import struct
from hashlib import sha256
from typing import Any

from telethon.tl import types

from tests.servers.telegram.faults import Fault
from tests.servers.telegram.media import CdnCopy, File, thumbnail
from tests.servers.telegram.rpc.registry import Call, method
from tests.servers.telegram.tl import RpcError, encode_bytes
from tests.servers.telegram.world import CDN_DC

MEGABYTE = 1 << 20
BLOCK_BYTES = 128 * 1024
FILE = struct.pack("<I", types.upload.File.CONSTRUCTOR_ID)
KINDS = {
    "image/jpeg": types.storage.FileJpeg,
    "image/png": types.storage.FilePng,
    "image/gif": types.storage.FileGif,
    "image/webp": types.storage.FileWebp,
    "video/mp4": types.storage.FileMp4,
}


@method("upload.getFile")
def get_file(call: Call, request: Any) -> bytes:
    file, data = _find(call, request.location)
    check_part(request.offset, request.limit, precise=bool(request.precise))
    if file.dc_id != call.dc_id:
        raise RpcError(303, f"FILE_MIGRATE_{file.dc_id}")
    file.check(request.location.access_hash, request.location.file_reference, call.world.reference_epoch)
    if file.cdn is not None:
        return bytes(redirect(file, file.cdn))
    fault = call.hub.faults.take_file(file.id, request.offset)
    part = spoiled_part(data, request.offset, request.limit, fault)
    call.hub.bytes_served += len(part)
    kind = KINDS.get(file.mime, types.storage.FileUnknown)()
    return b"".join([FILE, bytes(kind), struct.pack("<i", int(call.world.now())), *encode_bytes(part)])


def redirect(file: File, copy: CdnCopy) -> Any:
    """Where the file is instead, how to read it, and the first of its digests."""
    return types.upload.FileCdnRedirect(CDN_DC, copy.token, copy.key, copy.iv, digests_from(file, 0)[: copy.digests])


def digests_from(file: File, offset: int) -> list[Any]:
    """The SHA-256 of each block of the file that does not end before `offset`."""
    starts = range(0, len(file.data), BLOCK_BYTES)
    blocks = [(start, file.data[start : start + BLOCK_BYTES]) for start in starts if start + BLOCK_BYTES > offset]
    return [types.FileHash(start, len(block), sha256(block).digest()) for start, block in blocks]


def pace(call: Call, request: Any) -> float:
    """How many seconds a slow file's part is to take."""
    fault = call.hub.faults.file_fault(request.location.id)
    return request.limit / fault.bytes_per_second if fault and fault.kind == "file slow" else 0.0


def _find(call: Call, location: Any) -> tuple[File, bytes]:
    """The file, and which of its sizes is meant."""
    file = call.world.files.get(getattr(location, "id", 0))
    if file is None:
        raise RpcError(400, "FILE_ID_INVALID" if hasattr(location, "id") else "LOCATION_INVALID")
    match location:
        case types.InputPhotoFileLocation(thumb_size="y") | types.InputDocumentFileLocation(thumb_size=""):
            return file, file.data
        case types.InputPhotoFileLocation(thumb_size="m") | types.InputDocumentFileLocation(thumb_size="m"):
            return file, thumbnail()
    raise RpcError(400, "LOCATION_INVALID")


def check_part(offset: int, limit: int, *, precise: bool = False) -> None:
    """Parts are whole kilobytes (four, unless `precise`), divide a megabyte, and don't cross one's border."""
    unit = 1024 if precise else 4096
    if offset < 0 or offset % unit:
        raise RpcError(400, "OFFSET_INVALID")
    if not 0 < limit <= MEGABYTE or limit % unit:
        raise RpcError(400, "LIMIT_INVALID")
    if not precise and MEGABYTE % limit:
        raise RpcError(400, "LIMIT_INVALID")
    if offset // MEGABYTE != (offset + limit - 1) // MEGABYTE:
        raise RpcError(400, "LIMIT_INVALID")


def spoiled_part(data: bytes, offset: int, limit: int, fault: Fault | None) -> bytes | memoryview:
    part = memoryview(data)[offset : offset + limit]
    match fault.kind if fault else None:
        case "file empty":
            return b""
        case "file truncated" if fault:
            return part[: max(fault.keep - offset, 0)]
        case "file corrupt":
            return bytes(byte ^ 0x55 for byte in part)
    return part
