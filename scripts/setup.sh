#!/usr/bin/env bash
# Bring this machine to where `make demo` (argument: demo), `make check` (check), `make test` (test) or `make spark`
# (spark) can run.
#
# As root on Debian or Ubuntu the missing system packages are installed; otherwise the one line that does it is printed.
# Python packages are those of requirements.lock, in .venv/: all of them, or for the demo those that it needs, which are
# two thirds. Running it again is quick: it does only what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=${1:-demo}

say() { printf '%s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# System packages, each known by a file or command that it brings.
missing=()
need() { have "$2" || [ -e "$2" ] || missing+=("$1"); }
need r-base-core R
need r-base-dev /usr/share/doc/r-base-dev
need libtirpc-dev /usr/include/tirpc
need gcc gcc
find_python() { for python in python3.14 python3.13 python3.12 python3.11 python3; do
  have "$python" && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$python" && return; done; }
python=$(find_python || true)
[ -n "$python" ] || missing+=(python3 python3-dev python3-venv)
"${python:-true}" -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
headers() { [ -e "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ]; }
[ -z "$python" ] || headers || missing+=("$(basename "$(readlink -f "$(command -v "$python")")")-dev")
if [ "$purpose" = test ]; then
  need chromium-headless-shell chromium-headless-shell
  need mariadb-server /usr/sbin/mariadbd
  need redis-server redis-server
  need haproxy /usr/sbin/haproxy
  need prometheus promtool
  need prometheus-alertmanager amtool
  need shellcheck shellcheck
  need curl curl
  need git git
  need procps pgrep
  need strace strace
  need sqlite3 sqlite3
  need nodejs node
  need npm npm
  for package in IRkernel httr2 jsonlite DBI RSQLite RPostgreSQL RMySQL; do
    need "r-cran-${package,,}" "/usr/lib/R/site-library/$package"
  done
  compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || missing+=(postgresql)
fi
[ "$purpose" != spark ] || need default-jre-headless java

without_r() { [ "${RSQL_TEST_REQUIRE_R:-}" != 1 ] && ! printf '%s\n' "${missing[@]}" | grep -qvE '^(r-|libtirpc-|gcc$|python.*-dev$)'; }
if [ ${#missing[@]} -gt 0 ]; then
  install="apt-get install -y --no-install-recommends ${missing[*]}"
  if [ "$(id -u)" = 0 ] && have apt-get; then
    say "Installing ${missing[*]} …"
    export DEBIAN_FRONTEND=noninteractive
    # Installed packages must not start their services here: the tests start their own, on free ports.
    policy=/usr/sbin/policy-rc.d
    [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && trap 'rm -f '$policy EXIT; }
    apt-get update -qq && $install -qq >/dev/null
  elif [[ $purpose =~ ^(test|spark)$ ]] && ! without_r; then
    say "The tests need ${missing[*]}. Install them and run again:"; say "  sudo $install"; exit 1
  else
    say "R or its headers are missing; going on without R. To have the R parts too, run this and then make $purpose again:"
    say "  sudo $install"
  fi
  python=$(find_python || true)
fi
[ -n "$python" ] || { say "rsql needs Python 3.11 or newer. Install it and run again."; exit 1; }

# uv in a folder of its own: syncing .venv must not remove the tool that syncs it.
uv=$(command -v uv || true)
if [ -z "$uv" ]; then
  uv=build/uv/bin/uv
  if [ ! -x $uv ]; then
    "$python" -m venv --clear build/uv
    build/uv/bin/pip install -q --disable-pip-version-check 'uv>=0.8'
  fi
fi

r_version=$(have R && R --version | head -n 1 || echo none)
wanted="$(cat requirements.lock pyproject.toml | cksum) $r_version $(have gcc && headers && echo compiler) $("$python" --version)"
packages=all; [ "$purpose" != demo ] || packages=demo
case "$(cat .venv/.installed 2>/dev/null)" in "all $wanted" | "$packages $wanted") packages= ;; esac
if [ -n "$packages" ]; then
  say "Installing Python packages …"
  [ -x .venv/bin/python ] || "$uv" venv -q --python "$python" .venv
  # Without R, rpy2 is installed all the same and says at import what is missing; without a compiler it is left out. A
  # build made without R must not be taken from the cache once R is there.
  export VIRTUAL_ENV=$PWD/.venv
  # pyspark, half a gigabyte that takes a minute and a half, has a folder of its own, for `make spark` alone.
  mkdir -p build && lock=build/requirements-without-spark.lock r_extra="--extra r"
  awk '/^[a-z]/ { spark = /^(pyspark|py4j)=/ } !spark' requirements.lock >$lock
  if [ "$r_version" = none ]; then export RPY2_CFFI_MODE=ABI; else fresh="--refresh-package rpy2-rinterface"; fi
  if ! { have gcc && headers; }; then
    r_extra=
    awk '/^[a-z]/ { rpy2 = /^rpy2/ } !rpy2' $lock >$lock.part && mv $lock.part $lock
  fi
  if [ $packages = all ]; then
    "$uv" pip sync -q --require-hashes ${fresh:-} $lock
  else  # the lock as constraints: its versions, and its hashes are checked as well
    "$uv" pip install -q ${fresh:-} -r pyproject.toml $r_extra --extra png --extra demo hatchling editables -c $lock
  fi
  "$uv" pip install -q --no-deps --no-build-isolation -e .
  echo "$packages $wanted" >.venv/.installed
fi

# The sidebar in JupyterLab. The wheel holds it ready to use; from a clone it is built, which takes Node some seconds.
build_sidebar() {
  cd labextension || return
  cmp -s package-lock.json node_modules/.installed.json || {
    npm ci --no-audit --no-fund --loglevel=error >/dev/null && cp package-lock.json node_modules/.installed.json; } &&
    node build.mjs >/dev/null && echo "$1" >node_modules/.built
}
if [[ $purpose =~ ^(demo|test)$ ]]; then
  sidebar=.venv/share/jupyter/labextensions/@rsql/lab built=labextension/dist
  sources=$(cat labextension/{package-lock.json,build.mjs} labextension/src/* labextension/schema/* \
    rsql_magic/static/{panel,vendor}/* pyproject.toml | cksum)
  if ! have npm; then
    say "Node (nodejs and npm) is missing: JupyterLab comes without the sidebar, which is built by it."
  elif [ ! -e $built/package.json ] || [ "$(cat labextension/node_modules/.built 2>/dev/null)" != "$sources" ]; then
    say "Building the sidebar …"
    (build_sidebar "$sources") || {
      say "The sidebar could not be built; JupyterLab comes without it."
      [ "$purpose" != test ] || exit 1
    }
  fi
  if [ -e $built/package.json ] && [ ! -e $sidebar ]; then
    mkdir -p "$(dirname $sidebar)" && ln -sfn "$PWD/$built" $sidebar
  fi
fi

if [ "$purpose" = spark ]; then
  awk '/^[a-z]/ { spark = /^(pyspark|py4j)=/ } spark' requirements.lock >build/requirements-of-spark.lock
  if ! cmp -s build/requirements-of-spark.lock build/spark/installed.lock; then
    say "Installing pyspark …"
    rm -rf build/spark
    VIRTUAL_ENV=$PWD/.venv "$uv" pip install -q --no-config --no-deps --require-hashes --target build/spark -r build/requirements-of-spark.lock
    cp build/requirements-of-spark.lock build/spark/installed.lock
  fi
fi

# What the console's pages are tested with for people who hear them or have only a keyboard.
axe=build/npm/node_modules/axe-core/axe.min.js
if [ "$purpose" = test ] && [ ! -e $axe ]; then
  say "Installing axe-core …"
  npm install --prefix build/npm --no-audit --no-fund --no-package-lock --loglevel=error axe-core@4.10.3 >/dev/null
fi

# JupyterHub's proxy is a Node program; the tests of a whole hub start one.
proxy=build/npm/node_modules/.bin/configurable-http-proxy
if [ "$purpose" = test ] && [ ! -x $proxy ]; then
  say "Installing configurable-http-proxy …"
  # Older releases than the newest run on the Node of Debian 12 as well.
  npm install --prefix build/npm --no-audit --no-fund --no-package-lock --loglevel=error configurable-http-proxy@5 >/dev/null
fi
