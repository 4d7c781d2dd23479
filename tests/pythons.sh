#!/bin/bash
# pythons.sh FOLDER: Pythons that Debian's stable release does not have, from a newer suite, unpacked into FOLDER/usr.
#
# For a Debian machine.  Nothing on the machine changes: apt gets a state of its own, the mirror is the machine's, and the
# packages are unpacked, not installed.  The interpreters use the newer suite's own libraries, so patchelf tells them where
# those are.  tox, virtualenv and `-m venv --without-pip` work with them; `-m venv` does not (there is no ensurepip).
# Exit status 1 if one of them could not be had; the others are there all the same.
#
#     PATH=$PATH:$(tests/pythons.sh ~/.cache/pythons)        standard output is the folder for PATH
#     SUITE=sid WANTED="python3.15 python3.14-dbg" tests/pythons.sh ...
#     FREE_THREADED="python3.14 python3.13" tests/pythons.sh ...
#         builds python3.14t, too, from Debian's source package; or python3.13t, if the suite has no source of the first
#
# The build needs a C compiler, make, dpkg-source and the headers of OpenSSL, libffi and zlib.  It takes two to six minutes
# on two cores, once: what FOLDER holds already is not fetched or built again.
set -euo pipefail
root=$(realpath -m "$1")
suite=${SUITE:-forky}
read -ra wanted <<<"${WANTED:-python3.14 python3.15 pypy3}"
say() { echo "pythons.sh: $*" >&2; }
version() {
    "$root/usr/bin/$1" -c 'import ctypes, platform, ssl; print(platform.python_implementation(), platform.python_version())' \
        2>/dev/null
}

# apt, with a state of its own below FOLDER in which nothing is installed: every library comes along.
apt=$root/apt
options=(-qq -o "Dir::State=$apt" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache"
    -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null
    -o APT::Sandbox::User=root -o APT::Install-Recommends=0)
prepare_apt() {
    local mirror
    mirror=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' |
        awk '$1 == "Debian" && $2 == "Debian" { print $3; exit }')
    if [ -z "$mirror" ]; then
        say "no Debian mirror among apt's sources: not Debian, or 'apt-get update' was never run"
        return 1
    fi
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    : >"$apt/status"
    for kind in deb deb-src; do
        echo "$kind [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
    done >"$apt/sources.list"
    apt-get "${options[@]}" update >&2
}

unpack() { # PACKAGE ...: each has an interpreter of its own name in /usr/bin
    apt-get "${options[@]}" install --yes --download-only "$@" >&2
    local archive name program loader
    for archive in "$apt"/cache/archives/*.deb; do
        dpkg -x "$archive" "$root"
    done
    for name in "$@"; do
        program=$(realpath "$root/usr/bin/$name")
        loader=$(find "$root"/usr/lib/*-linux-* -maxdepth 1 -name "$(basename "$(patchelf --print-interpreter "$program")")")
        patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$(dirname "$loader")" "$program"
    done
}

build_free_threaded() { # SOURCE: python3.14 -> usr/bin/python3.14t
    local build=$root/build
    rm -rf "$build" && mkdir -p "$build"
    # Without Debian's patches: they move site-packages, and virtualenv does not find it.
    # One chain: where the caller looks at a function's status, bash's errexit is off in it.
    (
        cd "$build" &&
            apt-get "${options[@]}" source --download-only "$1" &&
            dpkg-source --no-check --skip-patches --extract ./*.dsc source &&
            cd source &&
            ./configure --quiet --disable-gil --disable-test-modules --without-ensurepip --prefix="$root/free-threaded" &&
            make --silent -j"$(nproc)" &&
            make --silent install
    ) >"$root/build.log" 2>&1 &&
        ln -sf "$root/free-threaded/bin/$1t" "$root/usr/bin/$1t" &&
        rm -rf "$build"
}

missing=()
for name in "${wanted[@]}"; do
    version "$name" >/dev/null || missing+=("$name")
done
# The first of these that is there, or can be built.
read -ra sources <<<"${FREE_THREADED:-}"
free_threaded=
for name in "${sources[@]}"; do
    if [ -z "$free_threaded" ] && version "${name}t" >/dev/null; then free_threaded=${name}t; fi
done
[ -n "$free_threaded" ] && sources=()

if [ ${#missing[@]} -gt 0 ] || [ ${#sources[@]} -gt 0 ]; then
    prepare_apt || exit 1
    available=()
    for name in "${missing[@]}"; do
        [ -z "$(apt-cache "${options[@]}" show "$name" 2>/dev/null)" ] || available+=("$name")
    done
    [ ${#available[@]} = 0 ] || unpack "${available[@]}"
    for name in "${sources[@]}"; do
        say "building ${name}t from source"
        if build_free_threaded "$name"; then
            free_threaded=${name}t
            break
        fi
        free_threaded=${name}t
        say "it could not be built: $root/build.log"
    done
    rm -r "$apt"
fi

status=0
for name in "${wanted[@]}" ${free_threaded:+"$free_threaded"}; do
    if found=$(version "$name"); then
        say "$name from $suite: $found"
    else
        say "NOT THERE: $name, $suite has none that works here; what needs it is skipped"
        status=1
    fi
done
echo "$root/usr/bin"
exit $status
