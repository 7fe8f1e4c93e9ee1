#!/bin/sh
# Makes an image of one static program, without any registry, and runs it.
set -eu
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir "$root/bin"
cp /bin/busybox "$root/bin/sh"
tar -c -C "$root" . | docker import - hello:1 >/dev/null
docker run --rm --network none hello:1 /bin/sh -c 'echo "hello from a container on Linux $(cat /proc/sys/kernel/osrelease)"'
