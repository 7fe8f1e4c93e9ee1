#!/bin/sh
# Docker's daemon, which starts a containerd of its own. Kept running by the machine's agent.
rm -f /var/run/docker.pid /run/docker/containerd/containerd.pid
exec /usr/sbin/dockerd
