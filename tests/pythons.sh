#!/bin/bash
# pythons.sh FOLDER: Pythons that Debian's stable release does not have, from a newer suite, unpacked into FOLDER/usr.
#
# For a Debian machine.  Nothing of the machine is changed: apt gets a state of its own, the mirror is the machine's, and
# the packages are unpacked, not installed.  What comes out has the newer suite's own libraries, so it is told where they
# are (patchelf); tox, virtualenv and `-m venv --without-pip` take it, `-m venv` does not (no ensurepip).
# Exit status 1 if the suite lacks one of them; the others are there all the same.
#
#     PATH=$PATH:$(tests/pythons.sh ~/.cache/pythons)        standard output is the folder for PATH
#     SUITE=sid WANTED="python3.15" tests/pythons.sh ...
set -euo pipefail
root=$(realpath -m "$1")
suite=${SUITE:-forky}
read -ra wanted <<<"${WANTED:-python3.14 python3.15 pypy3}"
say() { echo "pythons.sh: $*" >&2; }
version() { "$root/usr/bin/$1" -c 'import platform, ssl; print(platform.python_implementation(), platform.python_version())' 2>/dev/null; }

missing=()
for name in "${wanted[@]}"; do
    version "$name" >/dev/null || missing+=("$name")
done
if [ ${#missing[@]} -gt 0 ]; then
    apt=$root/apt
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    : >"$apt/status" # nothing is installed: every library comes along
    mirror=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' |
        awk '$1 == "Debian" && $2 == "Debian" { print $3; exit }')
    if [ -z "$mirror" ]; then
        say "no Debian mirror among apt's sources: not Debian, or 'apt-get update' was never run"
        exit 1
    fi
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$apt/sources.list"
    options=(-qq -o "Dir::State=$apt" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache"
        -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null
        -o APT::Sandbox::User=root -o APT::Install-Recommends=0)
    apt-get "${options[@]}" update >&2
    available=()
    for name in "${missing[@]}"; do
        [ -n "$(apt-cache "${options[@]}" show "$name" 2>/dev/null)" ] && available+=("$name")
    done
    if [ ${#available[@]} -gt 0 ]; then
        apt-get "${options[@]}" install --yes --download-only "${available[@]}" >&2
        for archive in "$apt"/cache/archives/*.deb; do
            dpkg -x "$archive" "$root"
        done
        for name in "${available[@]}"; do
            program=$(realpath "$root/usr/bin/$name")
            loader=$(find "$root"/usr/lib/*-linux-* -maxdepth 1 -name "$(basename "$(patchelf --print-interpreter "$program")")")
            patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$(dirname "$loader")" "$program"
        done
    fi
    rm -r "$apt"
fi

status=0
for name in "${wanted[@]}"; do
    if found=$(version "$name"); then
        say "$name from $suite: $found"
    else
        say "NOT THERE: $name, $suite has none that works here; what needs it is skipped"
        status=1
    fi
done
echo "$root/usr/bin"
exit $status
