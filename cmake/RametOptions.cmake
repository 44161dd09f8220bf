# Build options and the flags every target of ours gets, in interface targets: nothing is set globally.
option(RAMET_TESTS "Build the tests" ON)
option(RAMET_WERROR "Treat warnings as errors" OFF)
option(RAMET_FUZZ "Build the libFuzzer targets (clang)" OFF)
option(RAMET_FAULT_POINTS "Compile in the named fault points that tests switch on" ON)
set(RAMET_SANITIZE "" CACHE STRING "Sanitizers for daemons, libraries and tests: address,undefined or thread")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
	set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

# ramet_warnings: every target. ramet_flags: targets that may run under a sanitizer.
# Hosts and the template stub link ramet_warnings only: a sanitizer's shadow memory must not enter a seed.
add_library(ramet_warnings INTERFACE)
target_compile_features(ramet_warnings INTERFACE c_std_17)
target_compile_options(ramet_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes>
	-Wno-unused-parameter $<$<BOOL:${RAMET_WERROR}>:-Werror> -fvisibility=hidden -fno-strict-aliasing)
target_compile_definitions(ramet_warnings INTERFACE _GNU_SOURCE $<$<BOOL:${RAMET_FAULT_POINTS}>:RAMET_FAULT_POINTS=1>)
target_include_directories(ramet_warnings INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)

add_library(ramet_flags INTERFACE)
target_link_libraries(ramet_flags INTERFACE ramet_warnings)
if(RAMET_SANITIZE)
	target_compile_options(ramet_flags INTERFACE -fsanitize=${RAMET_SANITIZE} -fno-omit-frame-pointer)
	target_link_options(ramet_flags INTERFACE -fsanitize=${RAMET_SANITIZE})
	if(RAMET_SANITIZE MATCHES "undefined")
		target_compile_options(ramet_flags INTERFACE -fno-sanitize-recover=undefined)
	endif()
endif()
if(RAMET_FUZZ)
	target_compile_options(ramet_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
