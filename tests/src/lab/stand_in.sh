#!/bin/sh
# Stands in for both programs in the lab's own tests: ready at once, then asleep until told to end.
case "$1" in
  serve) listen=$(sed -n 's/^listen = "\(.*\)"/\1/p' "$3")
         [ "$listen" = 127.0.0.1:0 ] && listen=127.0.0.1:41234
         if [ -e busy ]; then rm busy; echo "error: bind: Address already in use (os error 98)" >&2; exit 1; fi
         echo "listening on $listen";;
  run)   mkdir -p state/sub; echo "$3" > state/sub/config; echo "watching 1 folders";;
  fail)  echo "no such thing" >&2; exit 2;;
  *)     echo "{\"arguments\":\"$*\"}"; exit 0;;
esac
trap 'exit 0' TERM
while :; do sleep 0.01; done
