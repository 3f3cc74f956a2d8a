#!/usr/bin/env bash
# What the container runs. As root, which some platforms need for a mounted volume (Railway: RAILWAY_RUN_UID=0), it
# gives the volume to the user picturedesk and goes on as that user; the program itself never runs as root.
set -euo pipefail

here=$(readlink -f -- "${BASH_SOURCE[0]}")
here=${here%/deploy/*}
as_user=()

if ((EUID == 0)); then
    chown picturedesk:picturedesk "${PICTUREDESK__STATE_DIR:?}"
    as_user=(setpriv --reuid picturedesk --regid picturedesk --clear-groups --no-new-privs)
fi
exec ${as_user[@]+"${as_user[@]}"} "$here/bin/run" "$@"
