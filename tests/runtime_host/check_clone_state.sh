#!/bin/sh
# check_clone_state.sh LIBRARY: what each clone writes of it (runtime/host/clone_state.h) lies in one page of its own.
set -eu
# the columns after the name: type, address, offset, size, ...
set -- $(readelf -SW "$1" | sed -n 's/.*\<ramet_clone_state //p')
[ $# -ge 4 ] || { echo "no section ramet_clone_state"; exit 1; }
[ $((0x$2 % 4096)) = 0 ] && [ $((0x$4)) -le 4096 ] && exit 0
echo "ramet_clone_state has $((0x$4)) bytes at 0x$2"
exit 1
