#!/bin/sh
# Builds the MinIO server the tests run against: .tools/bin/minio in the project's own folder.
#
#   sh tools/build_minio.sh
#
# MinIO is published as source only, so this needs the Go toolchain. It takes some minutes the
# first time, and does nothing when the pinned version is there already.
set -eu

# docker-compose.yml builds the same version: change both together.
version=v0.0.0-20260212201848-7aac2a2c5b7c

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
bin=$root/.tools/bin
stamp=$bin/minio.version

if [ -x "$bin/minio" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$version" ]; then
    echo "MinIO $version is there already: $bin/minio"
    exit 0
fi

if ! command -v go >/dev/null 2>&1; then
    cat >&2 <<'END'
Cannot build MinIO: there is no `go` on the PATH (Go 1.24 or newer is needed).

Either install Go and run this again, or run MinIO with Docker and tell the tests where it is:

  docker compose up -d --wait minio
  export FSSPEC_STORE_TEST_MINIO_ENDPOINT=http://127.0.0.1:9000
  export FSSPEC_STORE_TEST_MINIO_KEY=fsspec-store
  export FSSPEC_STORE_TEST_MINIO_SECRET=fsspec-store-secret
END
    exit 1
fi

mkdir -p "$bin"
# Keeps the programs out of version control and of whatever else heeds ignore files.
echo '*' >"$root/.tools/.gitignore"

# Beside its destination, so that the move at the end is a rename: an interrupted build leaves
# nothing behind, and the tests never see half a program.
building=$(mktemp -d "$bin/minio-building.XXXXXX")
trap 'rm -rf "$building"' EXIT
trap 'exit 130' INT
trap 'exit 143' HUP TERM

echo "Building MinIO $version, which takes some minutes the first time ..."
GOBIN=$building go install -trimpath "github.com/minio/minio@$version"

# Without a stamp the next run builds again; with the old stamp it might trust the wrong program.
rm -f "$stamp"
mv -f "$building/minio" "$bin/minio"
echo "$version" >"$building/minio.version"
mv -f "$building/minio.version" "$stamp"
echo "Built $bin/minio"
