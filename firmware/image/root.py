"""A directory of unpacked packages to work in, so that an image depends on the lock and not on the building machine.

Promise: made anew when the lock's packages changed, otherwise used again; no maintainer script is run. Commands run in a
mount namespace of their own, so that nothing stays mounted when this process dies. Sharp edge: needs root.
"""

import hashlib
import pathlib
import shutil
import subprocess

from packages import PackageError, run


def unpack(file, directory):
    # Through tar and not dpkg-deb -x, which would change the mode of directories that are there already.
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", file], stdout=subprocess.PIPE) as archive:
        run_tar = subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", directory], stdin=archive.stdout, check=False)
    if archive.returncode or run_tar.returncode:
        raise PackageError(f"{file} could not be unpacked into {directory}")


class Root:
    def __init__(self, directory):
        self.path = pathlib.Path(directory).absolute()

    def make(self, files):
        """`files`: {package: file}; base-files first, because its links /bin, /lib must be there before the rest."""
        mark = self.path / ".packages"
        digest = hashlib.sha256(" ".join(sorted(package.sha256 for package in files)).encode()).hexdigest()
        if mark.exists() and mark.read_text() == digest:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)
        for package in sorted(files, key=lambda package: (package.name != "base-files", package)):
            unpack(files[package], self.path)
        (self.path / "etc").mkdir(exist_ok=True)
        (self.path / "etc/passwd").write_text("root:x:0:0:root:/:/bin/bash\n")
        (self.path / "etc/group").write_text("root:x:0:\ndisk:x:6:\n")
        for name in ("tmp", "dev", "proc", "build"):
            (self.path / name).mkdir(exist_ok=True)
        awk = self.path / "usr/bin/awk"
        if not awk.exists():
            awk.symlink_to("mawk")
        mark.write_text(digest)

    def run(self, *command, environment=None):
        """Runs a command inside; its output is returned."""
        settings = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": "/tmp",
                    **(environment or {})}
        words = [f"{name}={value}" for name, value in settings.items()]
        inside = ('mount --bind /dev "$1/dev" && mount -t proc proc "$1/proc" && cd "$1" && '
                  'root=$1 && shift && exec chroot "$root" env -i "$@"')
        return run("unshare", "--mount", "--fork", "--pid", "nice", "sh", "-c", inside, "sh", self.path,
                   *words, *command)
