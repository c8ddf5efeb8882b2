# Sourced by the scripts whose nodes may not meet those of a lab.

# alone COMMAND...: in a network of its own.
alone() { unshare -n sh -c 'ip link set lo up && exec "$@"' alone "$@"; }
