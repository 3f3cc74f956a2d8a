#!/usr/bin/env bash
# What the container runs. As root, which some platforms need for a mounted volume (Railway: RAILWAY_RUN_UID=0), it
# gives the volume to the user picturedesk and goes on as that user; the program itself never runs as root. The files at
# its top as well: who runs a command in such a container (`retry`, say) does so as root, and may leave some.
set -euo pipefail

here=$(readlink -f -- "${BASH_SOURCE[0]}")
here=${here%/deploy/*}
as_user=()

if ((EUID == 0)); then
    [[ -n ${PICTUREDESK__STATE_DIR:-} ]] || {
        printf 'picturedesk: PICTUREDESK__STATE_DIR is not set: it names the folder that is given to the user picturedesk\n' >&2
        printf 'picturedesk:   Set it to where the volume is mounted (the image sets /var/lib/picturedesk)\n' >&2
        exit 78
    }
    mkdir -p -- "$PICTUREDESK__STATE_DIR"
    find "$PICTUREDESK__STATE_DIR" -maxdepth 1 ! -user picturedesk -exec chown -h picturedesk:picturedesk -- {} +
    export HOME=$PICTUREDESK__STATE_DIR # root's is closed to others
    as_user=(setpriv --reuid picturedesk --regid picturedesk --clear-groups --no-new-privs)
fi
# The names that Railway gives the service: those are asked for it by a browser, and by its other services.
names=${RAILWAY_PUBLIC_DOMAIN:-}${RAILWAY_PRIVATE_DOMAIN:+,$RAILWAY_PRIVATE_DOMAIN}
if [[ -n $names && -z ${PICTUREDESK__HEALTH__ALLOWED_HOSTS:-} ]]; then
    export PICTUREDESK__HEALTH__ALLOWED_HOSTS=${names#,}
fi
exec ${as_user[@]+"${as_user[@]}"} "$here/bin/run" "$@"
