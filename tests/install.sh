# Sourced by the scripts that need packages; $logs is where the output goes.

# install COMMAND PACKAGE ...: the packages whose command is not there.
install() {
  local missing=() as_root=()
  while [ $# -gt 1 ]; do
    command -v "$1" >/dev/null || missing+=("$2")
    shift 2
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  if [ "$(id -u)" -ne 0 ]; then
    as_root=(sudo -n env DEBIAN_FRONTEND=noninteractive)
  fi
  local get=("${as_root[@]}" apt-get -qq -y --no-install-recommends install "${missing[@]}")
  "${get[@]}" >"$logs/install.log" 2>&1 || {
    "${as_root[@]}" apt-get -qq update >>"$logs/install.log" 2>&1
    "${get[@]}" >>"$logs/install.log" 2>&1 || { tail -20 "$logs/install.log"; echo "could not install ${missing[*]}"; }
  }
}
