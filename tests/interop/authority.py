"""A throw-away certification authority, by the openssl program, and the server certificates of the tests.

Promise: everything lives under the directory given; keys are made new each time and trusted by nobody else.
Certificates carry their names in subjectAltName only, as RFC 9525 section 6.3 wants them looked for.
Run as a program it makes an authority and one certificate: authority.py DIRECTORY NAME...
"""

import ipaddress
import pathlib
import subprocess
import sys
import time


class Authority:
    """One root. `ca_file` is what a client is given to trust."""

    def __init__(self, directory, name="throw-away CA"):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ca_file = self.directory / "ca.pem"
        self._ca_key = self.directory / "ca.key"
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-sha256",
            "-days", "2", "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout", self._ca_key, "-out", self.ca_file)

    def issue(self, label, names, days=2):
        """A server certificate for `names` (DNS names and addresses): (certificate file, private key file)."""
        certificate = self.directory / f"{label}.crt"
        key = self.directory / f"{label}.key"
        request = self.directory / f"{label}.csr"
        extensions = self.directory / f"{label}.ext"
        extensions.write_text(
            "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
            "subjectAltName=" + ",".join(_alternative_name(name) for name in names) + "\n")
        self._openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                      "-subj", f"/CN={label}", "-keyout", key, "-out", request)
        self._openssl("x509", "-req", "-in", request, "-CA", self.ca_file, "-CAkey", self._ca_key, "-CAcreateserial",
                      "-sha256", "-days", str(days), "-extfile", extensions, "-out", certificate)
        key.chmod(0o600)
        return certificate, key

    def issue_expired(self, label, names):
        """A certificate whose last second is over when this returns."""
        pair = self.issue(label, names, days=0)
        time.sleep(1.2)
        return pair

    @staticmethod
    def _openssl(*arguments):
        done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr}")


def _alternative_name(name):
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: authority.py DIRECTORY NAME...")
    made = Authority(sys.argv[1])
    print(made.ca_file, *made.issue("server", sys.argv[2:]))
