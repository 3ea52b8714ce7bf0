#!/bin/sh
# Installs the browser in which the tests open reports: Chromium, from the packages of the system.
#
# Does nothing where there is a Chromium or Chrome already, whichever version it is.
set -eu

for command in chromium-headless-shell chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$command" >/dev/null 2>&1; then
        echo "$command is there already: $(command -v "$command")"
        exit 0
    fi
done

# Debian's Chromium without a window. Ubuntu has only a snap: there, install Google Chrome.
exec sh "$(dirname "$0")/install_server.sh" chromium-headless-shell chromium-headless-shell
