#!/bin/sh
# Installs the Azurite the tests run against: .tools/azurite in the project's own folder.
#
#   sh tools/install_azurite.sh
#
# Needs Node.js with npm. Does nothing when the pinned version is there already.
set -eu

# The newest that Node.js 20 still runs. docker-compose.yml has the same version: change both
# together.
version=3.35.0

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
tools=$root/.tools
installed=$tools/azurite
stamp=$installed/azurite.version

if [ -x "$installed/node_modules/.bin/azurite-blob" ] &&
    [ "$(cat "$stamp" 2>/dev/null)" = "$version" ]; then
    echo "Azurite $version is there already: $installed"
    exit 0
fi

for program in node npm; do
    if ! command -v "$program" >/dev/null 2>&1; then
        cat >&2 <<END
Cannot install Azurite: there is no \`$program\` on the PATH (Node.js 20 or newer, with npm, is needed).

Install Node.js and run this again. Any other \`azurite-blob\` on the PATH does as well.
END
        exit 1
    fi
done

mkdir -p "$tools"
# Keeps the programs out of version control and of whatever else heeds ignore files.
echo '*' >"$tools/.gitignore"

# Beside its destination, so that the move at the end is a rename: an interrupted installation
# leaves nothing behind, and the tests never see half a program.
installing=$(mktemp -d "$tools/azurite-installing.XXXXXX")
chmod 755 "$installing"
trap 'rm -rf "$installing"' EXIT
trap 'exit 130' INT
trap 'exit 143' HUP TERM

echo "Installing Azurite $version ..."
npm install --prefix "$installing" --no-audit --no-fund --loglevel=error "azurite@$version"

# The stamp travels with what it vouches for.
echo "$version" >"$installing/azurite.version"
rm -rf "$installed"
mv "$installing" "$installed"
echo "Installed $installed"
