"""The project's own programs for an image: compiled and linked statically inside the unpacked tools.

Promise: compiled at one path whatever the repository's place, with no date and no host name inside.
"""

import pathlib
import shutil
import subprocess

SOURCE = "/build/source"
BUILD = "/build/out"
PROGRAMS = ("posternd", "postern", "first-process", "supervisor")


def stage_source(repository, root):
    """The tree as it is; files keep their times when they did not change, so that a second build is short."""
    staged = root.path / SOURCE.lstrip("/")
    fresh = staged.with_name("source.new")
    subprocess.run(["bash", "-c", 'source "$1/firmware/lib.sh" && stage_source "$2"', "bash", str(repository), str(fresh)],
                   check=True)
    staged.mkdir(parents=True, exist_ok=True)
    for old in sorted(staged.rglob("*"), reverse=True):
        if old.is_file() and not (fresh / old.relative_to(staged)).exists():
            old.unlink()
    for new in sorted(fresh.rglob("*")):
        old = staged / new.relative_to(fresh)
        if new.is_dir():
            old.mkdir(exist_ok=True)
        elif not old.exists() or old.read_bytes() != new.read_bytes():
            shutil.copyfile(new, old)
    shutil.rmtree(fresh)


def compile_programs(repository, root, architecture, source_date):
    """{name: file} of the stripped programs."""
    stage_source(repository, root)
    environment = {"SOURCE_DATE_EPOCH": str(source_date)}
    if not (root.path / BUILD.lstrip("/") / "build.ninja").exists():
        # -g0: nobody debugs on the box, and the cores of the daemon are off.
        root.run("cmake", "-S", SOURCE, "-B", BUILD, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
                 "-DCMAKE_CXX_FLAGS_RELEASE=-O2 -g0 -DNDEBUG -ffunction-sections -fdata-sections",
                 "-DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON", "-DPOSTERN_TESTS=OFF", "-DPOSTERN_FIRMWARE=ON",
                 *([f"-DCMAKE_TOOLCHAIN_FILE={SOURCE}/firmware/cmake/arm64.cmake"] if architecture == "arm64" else []),
                 f"-DCMAKE_PROJECT_INCLUDE={SOURCE}/firmware/cmake/static.cmake", environment=environment)
    root.run("ninja", "-j2", "-C", BUILD, *PROGRAMS, environment=environment)
    programs = {}
    strip = "strip" if architecture == "amd64" else "aarch64-linux-gnu-strip"
    for name in PROGRAMS:
        built = next(pathlib.Path(root.path / BUILD.lstrip("/")).rglob(name), None)
        stripped = root.path / "build" / f"stripped-{name}"
        root.run(strip, "--strip-all", "--remove-section=.comment", "-o", f"/build/{stripped.name}",
                 "/" + str(built.relative_to(root.path)))
        programs[name] = stripped
    return programs
