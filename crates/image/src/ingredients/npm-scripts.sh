#!/bin/sh
# Runs, once, the install scripts of the npm packages that have some.
done=/var/lib/machine/npm-scripts-done
failed=/run/machine-npm-scripts-failed
[ -e "$done" ] && exit 0
rm -f "$failed"
if npm rebuild --global --foreground-scripts PACKAGES; then
  mkdir -p /var/lib/machine
  : >"$done"
else
  : >"$failed"
  exit 1
fi
