# SPDX-License-Identifier: Apache-2.0
# Sourced by the other scripts: makes .venv with a Python of at least 3.11 and installs the project into it.
# Usage: source scripts/env.sh; ensure_venv EXTRA[,EXTRA…]

# What the scripts start puts nothing into the keyring of whoever runs them.
export PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv="$root/.venv"

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.14 python3.13 python3.12 python3.11 python3 python; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  echo "Python 3.11 or newer is needed and was not found; install it, or set PYTHON to its path." >&2
  return 1
}

ensure_venv() {
  local extras=$1 python stamp wanted
  if [ ! -x "$venv/bin/python" ]; then
    python=$(find_python) || return 1
    echo "Making $venv with $("$python" --version) …" >&2
    "$python" -m venv "$venv" || { echo "python -m venv failed: on Debian the package python3-venv has it." >&2; return 1; }
  fi
  # Install again when the project file or the wanted extras changed.
  stamp="$venv/.installed"
  wanted="$extras $(cksum < "$root/pyproject.toml")"
  if ! grep -qxF "$wanted" "$stamp" 2>/dev/null; then
    echo "Installing p2p-handoff [$extras] …" >&2
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$root${extras:+[$extras]}" || return 1
    echo "$wanted" >> "$stamp"
  fi
}

# The fast engine has no wheel for every platform: without it everything works, slower.
ensure_venv_fast() {
  local extras=${1:-}
  ensure_venv "fast${extras:+,$extras}" || {
    echo "The extra 'fast' could not be installed here; going on with the aiortc engine." >&2
    ensure_venv "$extras"
  }
}
