#!/bin/sh
# Runs once inside the guest's file system, while the base template is built.
set -eu
rm -f /.machine-setup

# The user that programs run as: no password, and sudo without one.
useradd --uid 1000 --create-home --shell /bin/bash --password '*' user
install -d -o user -g user -m 0755 /workspace

if [ -d /usr/local/share/ca-certificates ]; then
  update-ca-certificates
fi

# Byte code that neither depends on dates nor is checked at each import: start-up counts, most of all when emulated.
find /usr/lib/python3* -name __pycache__ -prune -exec rm -rf {} +
env -u SOURCE_DATE_EPOCH PYTHONHASHSEED=0 python3 -m compileall -q -j 1 \
  --invalidation-mode unchecked-hash /usr/lib/python3* || true

# Traces of the build.
rm -rf /var/cache/ldconfig/aux-cache /var/cache/apt/* /var/lib/apt/lists/* /var/cache/debconf/*-old
rm -f /var/lib/dpkg/*-old /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid-
find /var/log -type f -delete
