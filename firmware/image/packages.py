"""Debian packages for an image: resolved by apt under the archive's signature, or exactly those of a lock.

A lock is a text file, a line a package: role, architecture, name, version, SHA-256 and path in the archive. It names no
mirror: those come from the machine's apt configuration, with this recipe's suite in place of the machine's own.

Promise: whatever is returned has the SHA-256 that the signed index, or the lock, names. Sharp edge: superseded packages
vanish from mirrors, and only one that a mirror says it has not is told as gone; the cache under build/firmware/packages keeps what was fetched once, and a missing one is named.
"""

import collections
import hashlib
import os
import pathlib
import re
import subprocess

Package = collections.namedtuple("Package", "role architecture name version sha256 path")

ROLES = ("tools", "libraries", "target")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
APT_HELPER = "/usr/lib/apt/apt-helper"

# As answered() in tools/lib.sh: a mirror that has gone silent keeps apt waiting for an hour and more.
MIRROR_SECONDS_MAX = 300
MIRROR_ATTEMPTS_MAX = 4
NOT_THERE = re.compile(r"404 +Not Found|File not found")  # what apt says when the mirror says that it has no such file
STOPPED = (124, -9)  # timeout stopped its command; it had to kill it, and with it itself


class PackageError(Exception):
    """Told to the caller of firmware/build as it is."""


def run(*command, **settings):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL, **settings)
    return finished(command, done)


def asked(*command):
    """The finished run of a command that asks a mirror: one without an end is stopped and asked again."""
    for _ in range(MIRROR_ATTEMPTS_MAX):
        done = subprocess.run(["timeout", "--kill-after=10", str(MIRROR_SECONDS_MAX), *map(str, command)], capture_output=True,
                              text=True, check=False, stdin=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"})
        if done.returncode not in STOPPED:
            return done
    raise PackageError(f"this machine's mirror did not answer in time: tried {MIRROR_ATTEMPTS_MAX} times for {MIRROR_SECONDS_MAX} s; "
                       "look at its network")


def finished(command, done):
    if done.returncode != 0:
        raise PackageError(f"{' '.join(str(word) for word in command[:6])} … failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def mirrors(suite):
    """(address, suite) pairs for `suite` at the mirrors that this machine uses for its own release."""
    release = re.search(r"^VERSION_CODENAME=(\w+)", pathlib.Path("/etc/os-release").read_text(), re.MULTILINE)[1]
    found = set()
    for line in run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(CODENAME)",
                    "Created-By: Packages").splitlines():
        address, *names = line.split()
        for name in names:
            if name in (release, f"{release}-updates", f"{release}-security"):
                found.add((address, suite + name.removeprefix(release)))
    if not found:
        raise PackageError(f"this machine's apt sources name no Debian mirror to take {suite} from")
    return sorted(found)


class Archive:
    """A private apt: its own lists and cache, an empty list of installed packages, the image's architecture beside amd64."""

    def __init__(self, directory, suite, architecture):
        self.directory = pathlib.Path(directory).absolute()
        self.architecture = architecture
        self.mirrors = mirrors(suite)
        for name in ("state/lists/partial", "cache/archives/partial"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        (self.directory / "status").write_text("")
        (self.directory / "debian.sources").write_text("\n".join(
            f"Types: deb\nURIs: {address}\nSuites: {name}\nComponents: main\nSigned-By: {KEYRING}\n"
            for address, name in self.mirrors))
        architectures = ["amd64"] + ([architecture] if architecture != "amd64" else [])
        settings = {
            "Dir::State": self.directory / "state", "Dir::Cache": self.directory / "cache",
            "Dir::State::status": self.directory / "status", "Dir::Etc::sourcelist": self.directory / "debian.sources",
            "Dir::Etc::sourceparts": "/dev/null", "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null", "APT::Architecture": "amd64",
            "APT::Architectures": ",".join(architectures), "APT::Install-Recommends": "false",
            "APT::Get::AllowUnauthenticated": "false", "Acquire::AllowInsecureRepositories": "false",
            "APT::Update::Error-Mode": "any", "Acquire::Languages": "none", "APT::Sandbox::User": "root",
        }
        self.options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]

    def apt(self, program, *words):
        return run(program, *self.options, *words)

    def update(self):
        command = ("apt-get", *self.options, "update")
        finished(command, asked(*command))

    def resolve(self, recipe):
        """The packages of the recipe's roles as a sorted list."""
        self.update()
        wanted = {role: recipe[role]["every"] + recipe[role].get(self.architecture, []) for role in ROLES}
        names = wanted["tools"] + [f"{name}:{self.architecture}" for name in wanted["libraries"]]
        found = self._described("tools", self.apt("apt-get", "install", "--yes", "--print-uris", *names))
        targets = []
        for name in wanted["target"]:
            real = self._real(name) if name.startswith("linux-image") else name
            targets.append(real if ":" in real else f"{real}:{self.architecture}")
        found += self._described("target", self.apt("apt-get", "download", "--print-uris", *targets))
        return sorted(found)

    def _real(self, name):
        """The package that a meta-package of the kernel stands for: its name carries the version."""
        output = self.apt("apt-cache", "depends", f"{name}:{self.architecture}")
        return re.search(r"Depends: (linux-image-[^\s:]+)", output)[1]

    def _described(self, role, output):
        """apt's --print-uris lines: 'address' file size hash."""
        uris = []
        for address, file in re.findall(r"^'([^']+)' (\S+) \d+", output, re.MULTILINE):
            name, version, architecture = re.fullmatch(r"([^_]+)_([^_]+)_(\w+)\.deb", file).groups()
            path = next(address.removeprefix(mirror) for mirror, _ in self.mirrors if address.startswith(mirror))
            uris.append((architecture, name, version.replace("%3a", ":"), path))
        # Asked once for all: every call reads the whole index.
        wanted = [name + (f":{architecture}" if architecture != "all" else "") + f"={version}"
                  for architecture, name, version, _ in uris]
        hashes = {}
        for record in self.apt("apt-cache", "show", *wanted).split("\n\n"):
            fields = dict(re.findall(r"^(Package|Version|Architecture|SHA256): (.+)$", record, re.MULTILINE))
            if fields:
                hashes[fields["Package"], fields["Version"], fields["Architecture"]] = fields["SHA256"]
        return [Package(role, architecture, name, version, hashes[name, version, architecture], path)
                for architecture, name, version, path in uris]

    def fetch(self, packages, cache):
        """{package: file} with every file's hash checked; what is gone from all mirrors is named."""
        cache = pathlib.Path(cache)
        cache.mkdir(parents=True, exist_ok=True)
        files = {package: cache / f"{package.sha256}.deb" for package in packages}
        missing = sorted({(package.path, package.sha256): package for package, file in files.items()
                          if not file.exists()}.values())
        trouble = None
        for base in sorted({address for address, _ in self.mirrors}):
            try:
                self._fetch_from(base, [package for package in missing if not files[package].exists()], files)
            except PackageError as error:
                trouble = error
        gone = [package for package in missing if not files[package].exists()]
        if gone and trouble:
            raise trouble
        if gone:
            raise PackageError("gone from this machine's mirrors: " + ", ".join(
                f"{package.name} {package.version} ({package.architecture})" for package in gone)
                + "; fetch them from a mirror that keeps superseded packages, or build without --lock")
        for package, file in files.items():
            if hashlib.sha256(file.read_bytes()).hexdigest() != package.sha256:
                file.unlink()
                raise PackageError(f"{file} was not {package.name} {package.version}; it is removed, run again")
        return files

    def _fetch_from(self, base, packages, files):
        """What this mirror has; a call for many, and when that fails one by one, so that one gone stops no other."""
        for start in range(0, len(packages), 50):
            some = packages[start:start + 50]
            if self._download(base, some, files).returncode == 0:
                continue
            for package in some:
                if files[package].exists():
                    continue
                done = self._download(base, [package], files)
                if done.returncode != 0 and not NOT_THERE.search(done.stdout + done.stderr):
                    raise PackageError(f"{package.name} {package.version} could not be fetched:\n{done.stdout}{done.stderr}")

    def _download(self, base, packages, files):
        words = []
        for package in packages:
            words += [base + package.path, str(files[package].with_suffix(".part")), f"SHA256:{package.sha256}"]
        try:
            return asked(APT_HELPER, *self.options, "download-file", *words)
        finally:
            for package in packages:
                part = files[package].with_suffix(".part")
                if part.exists() and hashlib.sha256(part.read_bytes()).hexdigest() == package.sha256:
                    part.replace(files[package])
                else:
                    part.unlink(missing_ok=True)


def write_lock(file, packages):
    lines = ["# role architecture name version sha256 path; made by firmware/build, built again with --lock"]
    pathlib.Path(file).write_text("\n".join(lines + [" ".join(package) for package in packages]) + "\n")


def read_lock(file):
    packages = []
    for number, line in enumerate(pathlib.Path(file).read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        words = line.split()
        if len(words) != len(Package._fields) or words[0] not in ROLES or not re.fullmatch("[0-9a-f]{64}", words[4]):
            raise PackageError(f"{file}:{number}: not 'role architecture name version sha256 path'")
        packages.append(Package(*words))
    return packages
