#!/bin/sh
# Installs a server that the tests run, from the packages of the system.
#
#   sh tools/install_server.sh nginx nginx-light
#   sh tools/install_server.sh apache2 apache2-bin
#
# Does nothing when the command is there already, whichever version it is.
set -eu
command=$1
package=$2

# Where it is installed, which is not on everybody's PATH.
PATH=$PATH:/usr/sbin:/usr/local/sbin

if command -v "$command" >/dev/null 2>&1; then
    echo "$command is there already: $(command -v "$command")"
    exit 0
fi

if ! command -v apt-get >/dev/null 2>&1; then
    cat >&2 <<END
Cannot install $command: there is no \`apt-get\` here.

Install it with the package manager of this system, such as \`brew install\` or \`dnf install\`.
The tests take any $command that is on the PATH or in /usr/sbin.
END
    exit 1
fi

if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null 2>&1; then
    as_root=sudo
else
    cat >&2 <<END
Cannot install $command: this needs root or \`sudo\`. Have somebody who is root run

  apt-get install --no-install-recommends $package
END
    exit 1
fi

echo "Installing $package ..."
$as_root apt-get update --quiet
$as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install --yes --quiet --no-install-recommends "$package"

# The tests run one of their own; the package's would go on serving port 80 to everybody.
if [ -d /run/systemd/system ] && systemctl cat "$command" >/dev/null 2>&1; then
    $as_root systemctl disable --now "$command"
fi
echo "Installed $(command -v "$command")"
