"""What is in an image, as SPDX 2.3 JSON: every package that was copied or linked in, with version, hash and licence.

Promise: each licence is the text of the package's own copyright file. Sharp edge: tools that only build are not listed.
"""

import datetime
import json
import re
import subprocess

LINKED = re.compile(r"(libstdc\+\+|libgcc)-\d+-dev|nlohmann-json3-dev|libcli11-dev")


def copyright_of(file, name):
    for path in (f"./usr/share/doc/{name}/copyright",):
        archive = subprocess.run(["dpkg-deb", "--fsys-tarfile", file], capture_output=True, check=True).stdout
        done = subprocess.run(["tar", "-xO", path], input=archive, capture_output=True, check=False)
        if done.returncode == 0 and done.stdout:
            return done.stdout.decode("utf-8", "replace")
    return ""


def document(recipe, files, version, source_date, architecture):
    named = set(recipe["libraries"]["every"])
    packages, texts, links = [], [], []
    for package, file in sorted(files.items()):
        if package.role == "tools" and not (package.name in named or LINKED.fullmatch(package.name)):
            continue
        key = re.sub(r"[^A-Za-z0-9.-]", "-", package.name)
        licence, text = "NOASSERTION", copyright_of(file, package.name)
        if text:
            licence = f"LicenseRef-{key}"
            texts.append({"licenseId": licence, "extractedText": text, "name": f"copyright file of {package.name}"})
        packages.append({"SPDXID": f"SPDXRef-{key}", "name": package.name, "versionInfo": package.version,
                         "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": licence,
                         "licenseDeclared": licence, "copyrightText": "NOASSERTION", "supplier": "Organization: Debian",
                         "checksums": [{"algorithm": "SHA256", "checksumValue": package.sha256}]})
        links.append({"spdxElementId": "SPDXRef-postern", "relationshipType": "CONTAINS", "relatedSpdxElement": f"SPDXRef-{key}"})
    packages.insert(0, {"SPDXID": "SPDXRef-postern", "name": "postern", "versionInfo": version, "filesAnalyzed": False,
                        "downloadLocation": "NOASSERTION", "licenseConcluded": "Apache-2.0", "licenseDeclared": "Apache-2.0",
                        "copyrightText": "NOASSERTION"})
    made = datetime.datetime.fromtimestamp(source_date, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    links.insert(0, {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-postern"})
    return json.dumps({"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
                       "name": f"postern-{version}-{architecture}",
                       "documentNamespace": f"https://postern.example/spdx/{version}-{architecture}-{source_date}",
                       "creationInfo": {"created": made, "creators": ["Tool: postern firmware/build"]},
                       "packages": packages, "hasExtractedLicensingInfos": texts, "relationships": links}, indent=1) + "\n"
