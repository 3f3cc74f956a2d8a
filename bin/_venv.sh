# shellcheck shell=bash
# Sourced by bin/run and bin/test, which set $checkout: makes a virtual environment once, from a lock file
# with hashes.
#
#   ensure_venv NAME LOCK     afterwards $checkout/NAME/bin/python has exactly what $checkout/LOCK lists
#
# When all is there it costs one subprocess (sha256sum), writes nothing and takes no lock: a read-only
# checkout works. Otherwise the environment is built beside, as NAME.new, under the lock NAME.lock, stamped
# and renamed into place. So a set-up that fails or is killed leaves the old environment as it was, the next
# one starts it over, and of two at once the second waits and then finds all done.
#
# The stamp is the lock file's sha256 and the Python it was built with. The environment points at the
# interpreter by its versioned name (python3.11), so an upgrade of the system that takes this version away
# is noticed without running it.
#
# From the environment: PYTHON is the interpreter to build with (default: the first good one on PATH). pip's
# settings for index, proxy and certificates are left as they are.

venv_stamp=picturedesk.stamp
venv_new=""
venv_interpreter=""
venv_version=""
venv_pip_options=() # of pip install, besides those that it always has

venv_say() { printf 'picturedesk: %s\n' "$*" >&2; }

venv_fail() { # WHAT REMEDY
    venv_say "$1"
    venv_say "  $2"
    exit 1
}

ensure_venv() { # NAME LOCK
    local venv=${checkout:?}/$1 lock=$checkout/$2 sum
    sum=$(sha256sum <"$lock") || venv_fail "$lock can't be read" "Restore it: git -C $checkout checkout -- $2"
    sum=${sum%% *}
    venv_ready "$venv" "$sum" || venv_set_up "$venv" "$lock" "$sum"
}

venv_ready() { # VENV SUM
    local have=""
    [[ -x $1/bin/python && -r $1/$venv_stamp ]] && read -r have _ <"$1/$venv_stamp" && [[ $have == "$2" ]]
}

venv_set_up() { # VENV LOCK SUM
    { exec 9>>"$1.lock"; } 2>/dev/null ||
        venv_fail "$1 is missing or out of date, and $checkout can't be written to" "Set it up once as its owner: ${BASH_SOURCE[-1]}"
    venv_wait_for_lock "$1"
    if ! venv_ready "$1" "$3"; then
        trap 'venv_stopped TERM' TERM
        trap 'venv_stopped INT' INT
        trap 'venv_stopped HUP' HUP
        venv_build "$@" >&2 # standard output is the program's
        trap - TERM INT HUP
    fi
    exec 9>&-
}

# pip inherits the lock: when only the shell of a set-up was killed, the next one waits until its pip is
# gone as well.
venv_wait_for_lock() { # VENV
    flock -n 9 && return
    venv_say "another set-up of $1 is under way; waiting for it"
    flock 9 || venv_fail "$1.lock can't be locked" "Use a file system that has locks."
}

venv_build() { # VENV LOCK SUM
    local started=$SECONDS
    unset PYTHONHOME PYTHONPATH PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV
    venv_find_python
    venv_say "setting up $1 once, with Python $venv_version ($venv_interpreter)"
    venv_new=$1.new
    { rm -rf "$venv_new" && venv_do "$venv_interpreter" -I -m venv "$venv_new"; } ||
        venv_give_up "$venv_interpreter could not make a virtual environment (its words are above)" \
            "Is the disk full? Or choose another Python: PYTHON=/path/to/python3 ${BASH_SOURCE[-1]}"
    venv_install "$2" ||
        venv_give_up "pip could not install what ${2##*/} lists (its words are above)" \
            "Check the network, the proxy and pip's settings (pip config list), then run the same command again."
    venv_finish "$1" "$3" ||
        venv_give_up "$1 could not be put into place" "Is the disk full, or $1 a mount point? Then run the same command again."
    venv_say "set up in $((SECONDS - started)) s"
}

# An empty lock file asks for nothing, so pip isn't asked either. Nothing is compiled here: wheels alone are taken, but
# for pyaes (telethon imports it) and pyvips (of the benchmarks), which are pure Python and are published as source only.
venv_install() { # LOCK
    grep -q '^[^#[:space:]]' "$1" || return 0
    venv_say "installing what ${1##*/} lists"
    # -W ignore: hides pip's long deprecation notices about pyaes. Its errors are shown, those of the network too.
    venv_do "$venv_new/bin/python" -I -W ignore -m pip install --quiet --disable-pip-version-check --no-input \
        --root-user-action=ignore "${venv_pip_options[@]}" --require-hashes --only-binary :all: --no-binary pyaes,pyvips --requirement "$1"
}

# Scripts name the folder that they were made in: let them name the one where they will be. The sync is
# there because a power cut must not leave a good stamp among empty files.
venv_finish() { # VENV SUM
    local name=${1##*/}
    grep -rlIZ --fixed-strings "/$name.new" "$venv_new/bin" "$venv_new/pyvenv.cfg" |
        xargs -0r sed -i "s|/${name//./\\.}\\.new|/$name|g" &&
        printf '%s %s %s\n' "$2" "$venv_version" "$venv_interpreter" >"$venv_new/$venv_stamp" &&
        sync -f "$venv_new" && rm -rf "$1.old" &&
        { [[ ! -e $1 && ! -L $1 ]] || mv -T "$1" "$1.old"; } &&
        mv -T "$venv_new" "$1" && rm -rf "$1.old"
}

# --- finding an interpreter -------------------------------------------------------------------------------

# Sets venv_interpreter and venv_version. One that can make environments is preferred to one that first
# needs a package.
venv_find_python() {
    local candidates=(python3 python3.13 python3.12 python3.11 python3.14 /usr/bin/python3) candidate answer bare=""
    [[ -n ${PYTHON:-} ]] && candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        answer=$(venv_ask "$candidate" 2>/dev/null) || continue
        [[ $answer == ready* ]] && break
        bare=${bare:-$answer}
        answer=""
    done
    read -r _ venv_version venv_interpreter <<<"${answer:-$bare}"
    [[ -n ${answer:-$bare} ]] ||
        venv_fail "no Python 3.11 or newer with ssl and sqlite3 (looked for ${candidates[*]})" \
            "Install one: sudo apt-get install -y python3 python3-venv    or name one: PYTHON=/path/to/python3 ${BASH_SOURCE[-1]}"
    [[ -n $answer ]] || venv_add_ensurepip
}

# Prints "ready|bare VERSION PATH", the path without symbolic links; fails for a Python that is too old or
# lacks a part.
venv_ask() { # INTERPRETER
    "$1" -I -c 'if True:
        import os, sys
        if sys.version_info < (3, 11):
            sys.exit(1)
        import importlib.util, sqlite3, ssl
        ready = all(map(importlib.util.find_spec, ("venv", "ensurepip")))
        path = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
        print("ready" if ready else "bare", "%d.%d" % sys.version_info[:2], path)'
}

# Debian and Ubuntu keep ensurepip in a package of its own.
venv_add_ensurepip() {
    [[ $venv_interpreter == /usr/bin/* && -x /usr/bin/apt-get ]] ||
        venv_fail "$venv_interpreter can't make virtual environments: it lacks the module venv or ensurepip" \
            "Name another one: PYTHON=/path/to/python3 ${BASH_SOURCE[-1]}"
    venv_add_package "Python $venv_version lacks the package python$venv_version-venv" "python$venv_version-venv"
}

# Installs a package of the system's, where this user may; else says what to do.
venv_add_package() { # WHAT PACKAGE
    local package=$2 as_root=()
    local command="apt-get install -y $package"
    venv_find_root
    [[ -x /usr/bin/apt-get ]] && ((EUID == 0 || ${#as_root[@]})) ||
        venv_fail "$1" "Run once: sudo $command    then the same command again."
    venv_say "$1, installing it: ${as_root[*]:+${as_root[*]} }$command"
    venv_apt install -y --no-install-recommends "$package" 2>/dev/null ||
        { venv_apt update && venv_apt install -y --no-install-recommends "$package"; } ||
        venv_fail "$package could not be installed (apt-get's words are above)" "Run it by hand: sudo $command"
}

# Takes one program out of a package that stays uninstalled: a daemon's package would start its daemon. Only where apt
# knows no packages yet does that need root.
venv_take_program() { # WHAT PACKAGE PROGRAM FOLDER
    local as_root=() scratch
    [[ -x /usr/bin/apt-get ]] || venv_fail "$1" "Install it, so that $3 is on the PATH; then the same command again."
    venv_find_root
    venv_say "$1, taking it out of the package $2"
    scratch=$(mktemp -d)
    { venv_unpack "$2" "$scratch" || { venv_apt update && venv_unpack "$2" "$scratch"; }; } &&
        mv -f "$scratch/usr/bin/$3" "$4/$3.new" && mv -fT "$4/$3.new" "$4/$3" ||
        { rm -rf "$scratch" && venv_fail "$2 could not be fetched (apt-get's words are above)" "Run by hand: sudo apt-get install $2"; }
    rm -rf "$scratch"
}

venv_unpack() { # PACKAGE FOLDER
    venv_do env -C "$2" apt-get -qq -o APT::Sandbox::User=root download "$1" >/dev/null 9>&- &&
        venv_do dpkg-deb --extract "$2/$1"_*.deb "$2" 9>&-
}

# Sets as_root, which its caller has: what makes a command root's. Nothing where this user is root or can't be.
venv_find_root() {
    if ((EUID != 0)) && sudo -n true 2>/dev/null; then
        as_root=(sudo -n)
    fi
}

venv_apt() {
    venv_do "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 "$@" >/dev/null 9>&-
}

# --- signals ----------------------------------------------------------------------------------------------

# Runs a step in a process group of its own, and waits for it in a way that a signal interrupts: bash
# handles a signal only when the program in the foreground has ended, and pip can take minutes.
venv_do() {
    set -m
    "$@" </dev/null &
    set +m
    wait "$!"
}

venv_stopped() { # SIGNAL
    local group
    trap '' TERM INT HUP
    for group in $(jobs -p); do
        kill -TERM -- "-$group"
    done 2>/dev/null
    wait 2>/dev/null
    [[ -z $venv_new ]] || rm -rf "$venv_new"
    venv_say "set-up stopped; the same command starts it over"
    trap - "$1"
    kill -s "$1" $$
}

venv_give_up() { # WHAT REMEDY
    rm -rf "$venv_new"
    venv_fail "$@"
}
