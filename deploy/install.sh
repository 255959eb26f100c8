#!/usr/bin/env bash
# The gateway as a service of a plain Debian or Ubuntu machine: sudo deploy/install.sh
#
#   --dry-run   say what would be done, and do nothing
#   --start     start it, and wait until it answers (without it, it starts with the machine, or by systemctl)
#
# Running it again does only what is missing, such as after an update of the repository; /etc/rsql is never changed.
# RSQL_ROOT=FOLDER puts everything below a folder, without a user and a service: to look at it, or to pack it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
root=${RSQL_ROOT:-}
dry='' start=''
for option in "$@"; do
  case $option in
    --dry-run) dry=1 ;;
    --start) start=1 ;;
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0" && exit ;;
    *) printf 'There is no option %s. --help lists them.\n' "$option" >&2 && exit 2 ;;
  esac
done

changed=''
# Says what is done, and does it unless this is a dry run.
does() {
  printf '+ %s\n' "$1"
  changed=1
  shift
  [ -n "$dry" ] || "$@"
}
have() { command -v "$1" >/dev/null 2>&1; }

[ -n "$dry$root" ] || [ "$(id -u)" = 0 ] || { echo "Run it as root: sudo $0 $*" >&2 && exit 1; }

# Python 3.11 or newer, with venv.
find_python() {
  local python
  for python in python3.13 python3.12 python3.11 python3; do
    have $python && $python -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $python && return
  done
}
python=$(find_python || true)
if [ -z "$python" ]; then
  have apt-get || { echo "Python 3.11 or newer with venv is missing. Install it and run this again." >&2 && exit 1; }
  does "install python3 and python3-venv" env DEBIAN_FRONTEND=noninteractive sh -c \
    'apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 python3-venv ca-certificates >/dev/null'
  python=$(find_python || true)
  [ -n "$python$dry" ] || { echo "The Python of this machine is older than 3.11." >&2 && exit 1; }
fi

# A user that owns the records, and nothing else.
[ -n "$root" ] || id rsql >/dev/null 2>&1 ||
  does "make the user rsql" useradd --system --user-group --no-create-home --home-dir /var/lib/rsql --shell /usr/sbin/nologin rsql

# The program: what the image has, at the versions and hashes of deploy/docker/.
wanted=$(cd "$here" && { cat deploy/docker/*.txt pyproject.toml && find rsql_magic jupyter_server_ext -name '*.py' -print0 | sort -z | xargs -0 cat; } | cksum)
build() {
  local work
  work=$(mktemp -d)
  # shellcheck disable=SC2064  # the folder of now
  trap "rm -rf '$work'" RETURN
  $python -m venv "$work/build"
  local pip=("$work/build/bin/python" -m pip --disable-pip-version-check -q)
  "${pip[@]}" install --require-hashes --no-deps --only-binary :all: -r "$here/deploy/docker/build.txt"
  mkdir "$work/source"
  (cd "$here" && cp -r pyproject.toml hatch_build.py README.md LICENSE CHANGELOG.md jupyter-config jupyter_server_ext rsql_magic r "$work/source")
  "${pip[@]}" wheel --no-build-isolation --no-deps --no-index -w "$work" "$work/source"
  # A new environment takes the place of the old one when it is whole.
  $python -m venv --without-pip "$work/rsql"
  "${pip[@]}" --python "$work/rsql/bin/python" install --require-hashes --no-deps --only-binary :all: -r "$here/deploy/docker/requirements.txt"
  "${pip[@]}" --python "$work/rsql/bin/python" install --no-deps --no-index "$work"/*.whl
  # Scripts begin with the path of their Python.
  sed -i "1s|^#!.*/bin/python.*|#!/opt/rsql/bin/python|" "$work"/rsql/bin/rsql "$work"/rsql/bin/jupyter-rsql
  echo "$wanted" >"$work/rsql/.installed"
  chmod -R go+rX,go-w "$work/rsql"
  mkdir -p "$root/opt"
  rm -rf "$root/opt/rsql.old"
  [ ! -e "$root/opt/rsql" ] || mv "$root/opt/rsql" "$root/opt/rsql.old"
  mv "$work/rsql" "$root/opt/rsql"
  rm -rf "$root/opt/rsql.old"
}
restart=''
if [ "$(cat "$root/opt/rsql/.installed" 2>/dev/null)" != "$wanted" ]; then
  does "install the gateway in $root/opt/rsql" build
  restart=1
fi

# Its configuration, once.
etc=$root/etc/rsql
secret() (
  umask 077
  printf 'JUPYTER_TOKEN=%s\n' "$($python -c 'import secrets; print(secrets.token_hex(24))')" >"$etc/rsql.env"
)
owner=()
[ -n "$root" ] || owner=(-g rsql)  # keys may be written into it
[ -d "$etc" ] || does "make $etc" install -d -m 0755 "$etc"
[ -e "$etc/rsql.toml" ] || does "write $etc/rsql.toml" install -m 0640 "${owner[@]}" "$here/deploy/systemd/rsql.toml" "$etc/rsql.toml"
[ -e "$etc/rsql.env" ] || does "make a token for administrators in $etc/rsql.env" secret

# The service.
unit=$root/etc/systemd/system/rsql.service
if ! cmp -s "$here/deploy/systemd/rsql.service" "$unit"; then
  does "write $unit" install -D -m 0644 "$here/deploy/systemd/rsql.service" "$unit"
  restart=1
fi
if [ -z "$root" ] && [ -d /run/systemd/system ]; then
  [ -z "$restart" ] || does "read the units anew" systemctl daemon-reload
  systemctl is-enabled -q rsql 2>/dev/null || does "have it start with the machine" systemctl enable -q rsql
  if systemctl is-active -q rsql 2>/dev/null; then
    [ -z "$restart" ] || does "restart it" systemctl restart rsql
  elif [ -n "$start" ]; then
    does "start it" systemctl start rsql
  fi
fi
answers() {
  for _ in $(seq 60); do
    "$python" -c 'import urllib.request as r; r.urlopen("http://127.0.0.1:8899/rsql/health", timeout=2)' 2>/dev/null && return
    sleep 1
  done
  echo "It does not answer at http://127.0.0.1:8899/rsql/. journalctl -u rsql tells why." >&2
  return 1
}
[ -z "$start" ] || [ -n "$root" ] || does "wait until it answers" answers

if [ -n "$dry" ]; then
  echo "Nothing was done."
elif [ -n "$changed" ]; then
  echo "The gateway is at http://127.0.0.1:8899/rsql/; its keys go into $etc/rsql.toml, its token is in $etc/rsql.env."
else
  echo "Nothing to do."
fi
