"""What is in an image: an SBOM (SPDX 2.3 JSON) with every package that was copied or linked in, its version, hash and licence;
and a file of licences to give along with a flashed box: first what the binding ones ask, then every copyright file.

Promise: a package whose licence nobody named in licences.toml stops the build; each text is the package's own copyright file.
Sharp edge: tools that only build are not listed.
"""

import collections
import datetime
import hashlib
import json
import pathlib
import re
import tomllib

from packages import PackageError, run

COMPILER_LIBRARY = re.compile(r"(libstdc\+\+|libgcc)-\d+(-dev)(?:-arm64-cross)?")  # linked into every program
HEADERS_ONLY = ("nlohmann-json3-dev", "libcli11-dev")

Part = collections.namedtuple("Part", "package licence binding source text")  # binding: names of licences that ask for something


def known():
    return tomllib.loads(pathlib.Path(__file__).with_name("licences.toml").read_text())


def kind_of(name):
    """The name in licences.toml: without the version that a package's name carries."""
    if name.startswith("linux-image-"):
        return "linux-image"
    found = COMPILER_LIBRARY.fullmatch(name)
    return found[1] + found[2] if found else name


def sources_of(package, file):
    """Debian's source packages that it was made of; a kernel's and a static program's are others than their own."""
    own, built_using = (run("dpkg-deb", "--field", file, field).strip() for field in ("Source", "Built-Using"))
    name, _, version = (own or package.name).partition(" (")
    return [f"{name} {version.rstrip(')') or package.version}",
            *(f"{name} {version}" for name, version in re.findall(r"(\S+) \(= (\S+)\)", built_using))]


def parts_of(recipe, files, places, architecture):
    """What the image holds; `places`: where the packages lie unpacked."""
    table = known()
    for package, file in sorted(files.items()):
        linked = (package.name in HEADERS_ONLY or COMPILER_LIBRARY.fullmatch(package.name)
                  or (package.name in recipe["libraries"]["every"] and package.architecture in (architecture, "all")))
        if package.role != "target" and not linked:
            continue
        licence = table["packages"].get(kind_of(package.name))
        text = next((text for place in places if (text := place / "usr/share/doc" / package.name / "copyright").exists()), None)
        if not licence or not text:
            raise PackageError(f"{package.name} goes into the image, and licences.toml does not name its licence"
                               if not licence else f"{package.name} goes into the image without a copyright file")
        binding = [name for name in re.split(r" (?:AND|WITH) ", licence) if name in table["binding"]]
        yield Part(package, licence, binding, sources_of(package, file), text.read_text(errors="replace"))


def package_of(part):
    key = re.sub(r"[^A-Za-z0-9.-]", "-", part.package.name)
    described = {"SPDXID": f"SPDXRef-{key}", "name": part.package.name, "versionInfo": part.package.version,
                 "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": part.licence,
                 "licenseDeclared": f"LicenseRef-{key}", "copyrightText": "NOASSERTION", "supplier": "Organization: Debian",
                 "sourceInfo": "Debian's source: " + ", ".join(part.source),
                 "checksums": [{"algorithm": "SHA256", "checksumValue": part.package.sha256}]}
    if part.binding:
        asked = known()["binding"]
        described["comment"] = "Binds who gives the box on. " + " ".join(f"{name}: {asked[name]['asks']}" for name in part.binding)
    text = {"licenseId": f"LicenseRef-{key}", "extractedText": part.text, "name": f"copyright file of {part.package.name}"}
    return described, text


def document(parts, version, source_date, architecture):
    own = {"SPDXID": "SPDXRef-postern", "name": "postern", "versionInfo": version, "filesAnalyzed": False,
           "downloadLocation": "NOASSERTION", "licenseConcluded": "Apache-2.0", "licenseDeclared": "Apache-2.0",
           "copyrightText": "NOASSERTION"}
    described = [package_of(part) for part in parts]
    digest = hashlib.sha256(json.dumps(described).encode()).hexdigest()  # a namespace names one document and no other
    links = [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-postern"},
             *({"spdxElementId": "SPDXRef-postern", "relationshipType": "CONTAINS", "relatedSpdxElement": package["SPDXID"]}
               for package, _ in described)]
    made = datetime.datetime.fromtimestamp(source_date, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps({"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
                       "name": f"postern-{version}-{architecture}",
                       "documentNamespace": f"https://postern.example/spdx/{version}-{architecture}-{source_date}-{digest}",
                       "creationInfo": {"created": made, "creators": ["Tool: postern firmware/build"]},
                       "packages": [own, *(package for package, _ in described)],
                       "hasExtractedLicensingInfos": [text for _, text in described], "relationships": links}, indent=1) + "\n"


def licences(parts, version, architecture, common_licences):
    """The file to give along; `common_licences`: the directory with the texts that copyright files only point at."""
    rule = "-" * 100
    lines = [f"Licences in Postern {version} for {architecture}", "",
             "Who gives a flashed box on gives this file along, and does what these licences ask:", ""]
    asked = {name: entry for name, entry in known()["binding"].items() if any(name in part.binding for part in parts)}
    for name, entry in asked.items():
        lines += [name, f"  {entry['asks']}", *(f"  - {part.package.name} {part.package.version}, made of Debian's source "
                                                f"{', '.join(part.source)}" for part in parts if name in part.binding), ""]
    for part in parts:
        lines += [rule, f"{part.package.name} {part.package.version}: {part.licence}", "", part.text]
    for name, entry in asked.items():
        lines += [rule, name, "", (common_licences / entry["text"]).read_text()]
    return "\n".join(lines)
