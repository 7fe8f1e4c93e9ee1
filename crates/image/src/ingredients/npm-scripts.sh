#!/bin/sh
# Runs, once, the install scripts of the npm packages that have some.
done=/var/lib/machine/npm-scripts-done
[ -e "$done" ] && exit 0
npm rebuild --global --foreground-scripts PACKAGES && mkdir -p /var/lib/machine && : >"$done"
