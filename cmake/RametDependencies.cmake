# Packages of other projects. Required ones stop the configuration; optional ones are reported at its end.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
set(RAMET_REPORT "")

function(ramet_report_line NAME STATE)
	set(RAMET_REPORT "${RAMET_REPORT}\n  ${NAME}: ${STATE}" PARENT_SCOPE)
endfunction()

pkg_check_modules(ZMQ REQUIRED IMPORTED_TARGET libzmq)
pkg_check_modules(MSGPACK REQUIRED IMPORTED_TARGET msgpack)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(CYAML REQUIRED IMPORTED_TARGET libcyaml)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)

macro(ramet_optional PREFIX MODULE WHAT)
	pkg_check_modules(${PREFIX} QUIET IMPORTED_TARGET ${MODULE})
	if(${PREFIX}_FOUND)
		string(APPEND RAMET_REPORT "\n  ${MODULE} ${${PREFIX}_VERSION}: ${WHAT}")
	else()
		string(APPEND RAMET_REPORT "\n  ${MODULE} not found, so without: ${WHAT}")
	endif()
endmacro()

ramet_optional(HWLOC hwloc "topology (else from /sys and /proc)")
ramet_optional(SECCOMP libseccomp "system-call filters of instances")
ramet_optional(CUNIT cunit "tests")
ramet_optional(PYTHON3 python3 "the Python engine")
ramet_optional(IBVERBS libibverbs "RDMA devices in ramet doctor")

function(ramet_report)
	message(STATUS "Ramet ${PROJECT_VERSION} (${CMAKE_BUILD_TYPE}${RAMET_SANITIZE}) with:${RAMET_REPORT}")
endfunction()
