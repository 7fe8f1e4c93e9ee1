# Runs once inside the guest's file system, after setup.sh, where a recipe asks for more than the base has.
# The lines before this one say who the user is.
set -eu
rm -f /.machine-recipe

if [ -n "${name:-}" ]; then
  if [ -n "$replaced" ]; then
    userdel --remove "$replaced" 2>/dev/null
  fi
  groupadd --gid "$gid" "$name"
  useradd --uid "$uid" --gid "$gid" --create-home --shell "$shell" --password '*' "$name"
  if [ -n "$replaced" ]; then
    chown "$uid:$gid" /workspace
  fi
fi
for member in ${docker_users:-}; do
  usermod --append --groups docker "$member"
done

# As in setup.sh: byte code that is not checked at each import.
for folder in /usr/local/lib/python3*/dist-packages; do
  env -u SOURCE_DATE_EPOCH PYTHONHASHSEED=0 python3 -m compileall -q -j 1 \
    --invalidation-mode unchecked-hash "$folder" || true
done

# Traces of the build.
rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid-
find /var/log -type f -delete
