# Sourced by what looks at the package (tests/package, tests/package-walk).

passed=0
failed=0

# check NAME COMMAND...: one of the checks, with what it said where it failed.
check() {
  local name=$1 said
  shift
  if said=$("$@" 2>&1); then
    passed=$((passed + 1))
    echo "ok      $name"
  else
    failed=$((failed + 1))
    printf 'FAILED  %s\n%s\n' "$name" "$said"
  fi
}

# within SECONDS COMMAND...: asks until the command succeeds, and once more for what it says.
within() {
  local end=$((SECONDS + $1))
  shift
  while [ $SECONDS -lt $end ]; do
    "$@" >/dev/null 2>&1 && return 0
    sleep 0.1
  done
  "$@"
}

# stays SECONDS COMMAND...: succeeds all that time.
stays() {
  local end=$((SECONDS + $1))
  shift
  while [ $SECONDS -lt $end ]; do
    "$@" || return 1
    sleep 0.1
  done
}

# verdict: the last line, as those of `cargo test`.
verdict() {
  local word=ok
  [ "$failed" -eq 0 ] || word=FAILED
  echo "test result: $word. $passed passed; $failed failed;"
  [ "$failed" -eq 0 ]
}
