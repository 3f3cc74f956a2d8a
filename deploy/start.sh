#!/usr/bin/env bash
# What the container runs. As root, which some platforms need for a mounted volume (Railway: RAILWAY_RUN_UID=0), it
# gives the volume to the user picturedesk and goes on as that user; the program itself never runs as root. The files at
# its top as well: who runs a command in such a container (`retry`, say) does so as root, and may leave some.
set -euo pipefail

here=$(readlink -f -- "${BASH_SOURCE[0]}")
here=${here%/deploy/*}
as_user=()

if ((EUID == 0)); then
    mkdir -p -- "${PICTUREDESK__STATE_DIR:?}"
    find "$PICTUREDESK__STATE_DIR" -maxdepth 1 ! -user picturedesk -exec chown -h picturedesk:picturedesk -- {} +
    export HOME=$PICTUREDESK__STATE_DIR # root's is closed to others
    as_user=(setpriv --reuid picturedesk --regid picturedesk --clear-groups --no-new-privs)
fi
exec ${as_user[@]+"${as_user[@]}"} "$here/bin/run" "$@"
