#!/bin/sh
# check_symbols.sh LIBRARY HEADER: the library exports exactly what the header declares with RAMET_API.
set -eu
library=$1 header=$2
# declarations span lines: joined, then cut at semicolons; the typedefs and inline functions have no RAMET_API
declared=$(tr '\n' ' ' <"$header" | tr ';' '\n' | sed -n 's/.*RAMET_API[^(]*\(ramet_[a-z_]*\)(.*/\1/p' | sort)
exported=$(nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort)
[ -n "$declared" ] || { echo "no declaration found in $header"; exit 1; }
[ "$declared" = "$exported" ] && exit 0
echo "declared and exported differ (< declared, > exported):"
printf '%s\n' "$declared" >declared.txt
printf '%s\n' "$exported" >exported.txt
diff declared.txt exported.txt
exit 1
