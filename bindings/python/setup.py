"""The client package against an installed libramet: of RAMET_PREFIX, or else the one that pkg-config knows. For CMake's
own build see CMakeLists.txt."""
import glob
import os
import subprocess

from setuptools import Extension, setup

HERE = os.path.dirname(os.path.abspath(__file__))


def places():
    """(directory of the headers, of the library)"""
    prefix = os.environ.get("RAMET_PREFIX")
    if prefix:
        library, = glob.glob(os.path.join(prefix, "lib*", "libramet.so")) + glob.glob(
            os.path.join(prefix, "lib", "*", "libramet.so")) or [""]
        if not library:
            raise SystemExit("no lib*/libramet.so below RAMET_PREFIX=%s" % prefix)
        return os.path.join(prefix, "include"), os.path.dirname(library)
    try:
        return tuple(subprocess.check_output(["pkg-config", "--variable=" + name, "ramet"], text=True).strip()
                     for name in ("includedir", "libdir"))
    except (OSError, subprocess.CalledProcessError):
        raise SystemExit("libramet is not installed: set RAMET_PREFIX, or PKG_CONFIG_PATH to where ramet.pc is")


include, library = places()
os.chdir(HERE)
setup(
    ext_modules=[Extension(
        "ramet._ramet",
        sources=sorted(glob.glob("client/*.c")),
        include_dirs=[include, os.path.join(HERE, "../..")],
        library_dirs=[library],
        runtime_library_dirs=[library],
        libraries=["ramet"],
        define_macros=[("Py_LIMITED_API", "0x03090000"), ("_GNU_SOURCE", None)],
        py_limited_api=True)],
    options={"bdist_wheel": {"py_limited_api": "cp39"}},
)
