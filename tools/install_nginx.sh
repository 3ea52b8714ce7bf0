#!/bin/sh
# Installs the nginx the tests run against, from the packages of the system.
#
#   sh tools/install_nginx.sh
#
# Does nothing when there is an nginx already, whichever version it is.
set -eu

# Where it is installed, which is not on everybody's PATH.
PATH=$PATH:/usr/sbin:/usr/local/sbin

if command -v nginx >/dev/null 2>&1; then
    echo "nginx is there already: $(command -v nginx)"
    exit 0
fi

if ! command -v apt-get >/dev/null 2>&1; then
    cat >&2 <<'END'
Cannot install nginx: there is no `apt-get` here.

Install nginx with the package manager of this system, such as `brew install nginx` or
`dnf install nginx`. The tests take any that is on the PATH or in /usr/sbin.
END
    exit 1
fi

if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null 2>&1; then
    as_root=sudo
else
    cat >&2 <<'END'
Cannot install nginx: this needs root or `sudo`. Have somebody who is root run

  apt-get install --no-install-recommends nginx-light
END
    exit 1
fi

echo "Installing nginx-light ..."
$as_root apt-get update --quiet
$as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install --yes --quiet --no-install-recommends nginx-light

# The tests run one of their own; the package's would go on serving port 80 to everybody.
if [ -d /run/systemd/system ]; then
    $as_root systemctl disable --now nginx
fi
echo "Installed $(command -v nginx)"
