#!/usr/bin/env bash
# Two chat processes on loopback, LINES lines each way; in the middle one of them is stopped (SIGSTOP) for SECONDS.
# Passes if every line was handled, once and in order, on both sides.
#
#   bash tests/chat/stopped.sh [listener|dialer] [SECONDS=45] [LINES=1000]
set -euo pipefail
cd "$(dirname "$0")/../.."
victim=${1:-listener} pause=${2:-45} lines=${3:-1000}
cargo build --release --quiet --example chat
chat=target/release/examples/chat
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT

field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" | head -n 1; }
typed() { # name: half of the lines, a pause longer than the stop, the other half
  local half=$((lines / 2))
  for n in $(seq 1 $half); do echo "$1 $n"; done
  until [ -e "$dir/go" ]; do sleep 0.1; done
  for n in $(seq $((half + 1)) "$lines"); do echo "$1 $n"; done
  until [ -e "$dir/end" ]; do sleep 0.1; done
  echo /quit
}
count() { grep -c "\"event\":\"$2\".*$3" "$dir/$1.json" || true; }
wait_for() { # seconds, what, command
  local until=$((SECONDS + $1)) what=$2; shift 2
  until "$@"; do [ $SECONDS -lt $until ] || { echo "timed out: $what"; tail -n 3 "$dir"/*.json; exit 1; }; sleep 0.2; done
}

touch "$dir/listener.json" "$dir/dialer.json"
typed listener | $chat listen --json --name listener >"$dir/listener.json" &
wait_for 10 "listening" test -s "$dir/listener.json"
addr=$(field addr <"$dir/listener.json") fingerprint=$(field fingerprint <"$dir/listener.json")
typed dialer | $chat connect "$addr" --fingerprint "$fingerprint" --json --name dialer >"$dir/dialer.json" &
wait_for 10 "the first lines" eval '[ "$(count dialer message "")" -gt 0 ]'

pid=$(pgrep -f "$chat $([ "$victim" = listener ] && echo listen || echo "connect $addr")" | head -n 1)
kill -STOP "$pid"; touch "$dir/go"; echo "stopped the $victim for $pause s"
sleep "$pause"
kill -CONT "$pid"
handled() { [ "$(count listener receipt handled)" -eq "$lines" ] && [ "$(count dialer receipt handled)" -eq "$lines" ]; }
start=$SECONDS
wait_for 150 "all lines handled" handled
echo "all handled $((SECONDS - start)) s after it went on"
touch "$dir/end"; wait

for side in listener dialer; do
  from=$([ $side = listener ] && echo dialer || echo listener)
  sed -n 's/.*"event":"message".*"text":"\([^"]*\)".*/\1/p' "$dir/$side.json" >"$dir/got"
  for n in $(seq 1 "$lines"); do echo "$from $n"; done >"$dir/sent"
  cmp "$dir/sent" "$dir/got"
  echo "$side: $(wc -l <"$dir/got") lines received, each once and in order; receipts: $(count $side receipt handled) handled," \
    "$(count $side receipt unknown) unknown; suspect $(count $side suspect ""), reconnecting $(count $side reconnecting "")," \
    "resumed $(count $side connected '"resumed":true')"
done
