#!/bin/sh
# installed_consumer.sh BUILD SOURCE SANITIZE: install the client component somewhere else, then compile and run a program
# against it: in C and C++ by pkg-config, and as a CMake project.
set -eu
build=$1 source=$2 sanitize=${3:+-fsanitize=$3}
dir=$(mktemp -d /tmp/ramet-test-XXXXXX)
trap 'rm -rf "$dir"' EXIT
cmake --install "$build" --prefix "$dir/usr" --component client >/dev/null

pc=$(dirname "$(find "$dir/usr" -name ramet.pc)")
export PKG_CONFIG_PATH="$pc"
libdir=$(pkg-config --variable=libdir ramet)
[ -e "$libdir/libramet.so.0" ] || { echo "no libramet.so.0 in $libdir"; exit 1; }
export LD_LIBRARY_PATH="$libdir"
warnings="-Wall -Wextra -Wpedantic -Werror"
compile() { # COMPILER STANDARD LANGUAGE
	# shellcheck disable=SC2046,SC2086
	$1 -std=$2 $warnings $sanitize -x $3 "$source/tests/libramet/consumer.c" -x none \
		-o "$dir/consumer" $(pkg-config --cflags --libs ramet)
	"$dir/consumer"
}
compile cc c99 c
if command -v c++ >/dev/null; then
	compile c++ c++98 c++
	compile c++ c++17 c++
else
	echo "SKIP C++: no compiler"
fi
cmake -S "$source/tests/libramet/consumer_cmake" -B "$dir/cmake" -DCMAKE_PREFIX_PATH="$dir/usr" \
	-DCMAKE_C_FLAGS="$sanitize" >/dev/null
cmake --build "$dir/cmake" >/dev/null
"$dir/cmake/consumer"
