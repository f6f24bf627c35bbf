# shellcheck shell=bash
# Shared by the scripts in this folder; to be sourced. No script changes the caller's folder.

# The workspace's root.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Statuses, as the command line has them (README): the environment's fault.
readonly ENVIRONMENT=2

say() { printf '%s: %s\n' "${0##*/}" "$*"; }

# die MESSAGE...: one clear text on stderr, and the environment's status.
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit "$ENVIRONMENT"
}

# Where drbench keeps what it fetched; the same rule as in ci/lab/src/cache.rs.
cache_dir() {
  if [[ -n ${DRBENCH_CACHE:-} ]]; then
    printf '%s\n' "$DRBENCH_CACHE"
  elif [[ -n ${XDG_CACHE_HOME:-} ]]; then
    printf '%s\n' "$XDG_CACHE_HOME/drbench"
  elif [[ -n ${HOME:-} ]]; then
    printf '%s\n' "$HOME/.cache/drbench"
  else
    die "no place for the cache: set DRBENCH_CACHE to a directory"
  fi
}

# at_least WANTED FOUND: whether the version FOUND is not older than WANTED.
at_least() { [[ -n $2 && $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$1" ]]; }

# Begins the name of a run's directory: sorts by time. To the microsecond, as a lab's run takes less than
# a second, and cron starts two runners of one store in the same.
run_stamp() { date -u +%Y%m%dT%H%M%S.%6NZ; }

# The oldest Rust that builds the workspace, as its Cargo.toml says.
wanted_rust() { sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$root/Cargo.toml"; }

# The release build, in the workspace's own target directory or the caller's.
build_release() { (cd "$root" && cargo build --release --locked); }

# Where it is: `.cargo/config.toml` names the target.
release_binary() {
  printf '%s\n' "${CARGO_TARGET_DIR:-$root/target}/x86_64-unknown-linux-gnu/release/drbench"
}

# Debian 12 or 13, the systems that the scripts install anything on.
on_debian() {
  [[ -r /etc/os-release ]] || return 1
  # shellcheck disable=SC1091
  (source /etc/os-release && [[ ${ID:-} == debian && ${VERSION_ID:-} =~ ^1[23]$ ]])
}

codename() {
  # shellcheck disable=SC1091
  (source /etc/os-release && printf '%s\n' "$VERSION_CODENAME")
}

# The version that apt would install. The lists are fetched if they do not name the package.
candidate() {
  local version
  version=$(policy "$1")
  if [[ -z $version ]]; then
    as_root apt-get -qq update >/dev/null
    version=$(policy "$1")
  fi
  printf '%s\n' "$version"
}

policy() { apt-cache policy "$1" | sed -n 's/^  Candidate: \([0-9].*\)/\1/p'; }

installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

as_root() {
  if ((EUID == 0)); then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "neither root nor sudo, to install what is missing; run this script as root once"
  fi
}

# The package lists are only fetched when apt cannot do with those it has.
install_packages() {
  local install=(env DEBIAN_FRONTEND=noninteractive
    apt-get -qq -y --no-upgrade --no-install-recommends install "$@")
  as_root true
  as_root "${install[@]}" >/dev/null 2>&1 && return
  as_root apt-get -qq update >/dev/null
  as_root "${install[@]}" >/dev/null
}

# Where the programs are that read what drbench writes: ci/readers/NAME fetches them into a folder NAME.
readers_dir() {
  local cache
  cache=$(cache_dir) || return
  printf '%s/readers\n' "$cache"
}

# unpacked_package NAME: a new folder with what is in Debian's package of that name; the caller removes it.
# No root is needed, nothing is installed, and no script of the package runs.
unpacked_package() {
  local place work apt=(apt-get -q -q -o APT::Sandbox::User=root)
  # It is called in `$( )`, where bash goes on after an error.
  place=$(readers_dir) && mkdir -p "$place" && work=$(mktemp -d "$place/.unfinished-XXXXXX") || return
  say "fetching package $1" >&2
  if ! (cd "$work" && "${apt[@]}" download "$1") >"$work/log" 2>&1; then
    # The system's package lists may be old, or not there: once more by lists of our own.
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" || return
    apt+=(-o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o Acquire::Languages=none
      -o Debug::NoLocking=true)
    "${apt[@]}" update >"$work/log" 2>&1 || true
    (cd "$work" && "${apt[@]}" download "$1") >>"$work/log" 2>&1 ||
      die "apt cannot fetch $1: $(tail -n 3 "$work/log"; rm -rf "$work")"
  fi
  mkdir "$work/root" && dpkg-deb -x "$work"/*.deb "$work/root" && mv "$work/root" "$work.root" || return
  rm -rf "$work"
  printf '%s\n' "$work.root"
}

# python_for NAME PACKAGE==VERSION...: a Python of the reader's own that has these packages.
python_for() {
  local place wanted work
  place=$(readers_dir)/$1
  wanted=$(printf '%s\n' "${@:2}")
  [[ -r $place/stamp && $(<"$place/stamp") == "$wanted" ]] && "$place/bin/python" -c '' && return
  if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
    on_debian || die "python3 with venv is missing; the tests of $1 need it"
    say "installing python3-venv"
    install_packages python3-venv || die "apt cannot install python3-venv"
  fi
  say "fetching ${*:2}"
  rm -rf "$place"
  mkdir -p "$(readers_dir)"
  work=$(mktemp)
  { python3 -m venv "$place" && "$place/bin/pip" --disable-pip-version-check -q install "${@:2}"; } \
    >"$work" 2>&1 || die "pip cannot install ${*:2}: $(tail -n 3 "$work")"
  printf '%s\n' "$wanted" >"$place/stamp"
  rm -f "$work"
}

# The program that scripts for every night call: $DRBENCH, else the release build, made if need be.
drbench_program() {
  if [[ -z ${DRBENCH:-} ]]; then
    # A program of an earlier build may be there still. It is not what was asked for, and `$( )`, in which
    # this is called, goes on after an error.
    { "$root/ci/setup" && build_release; } >&2 || die "drbench cannot be built; see above, or name a program in DRBENCH"
    DRBENCH=$(release_binary)
  fi
  printf '%s\n' "$DRBENCH"
}

# What weighs most of two statuses: 1 before 125 before 2 before 0. Others (a signal's) are the environment's.
worst_of() {
  local status
  for status in 1 125; do
    if (($1 == status || $2 == status)); then
      printf '%s\n' "$status"
      return
    fi
  done
  if (($1 || $2)); then printf '%s\n' "$ENVIRONMENT"; else printf '0\n'; fi
}
