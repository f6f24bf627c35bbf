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

# The oldest Rust that builds the workspace, as its Cargo.toml says.
wanted_rust() { sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$root/Cargo.toml"; }

# The release build, in the workspace's own target directory or the caller's.
build_release() { (cd "$root" && cargo build --release --locked); }

# Where it is: `.cargo/config.toml` names the target.
release_binary() {
  printf '%s\n' "${CARGO_TARGET_DIR:-$root/target}/x86_64-unknown-linux-gnu/release/drbench"
}
