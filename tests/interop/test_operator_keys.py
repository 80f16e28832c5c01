"""The operator's command that makes an authority, the certificate and the DKIM keys which a configuration lacks."""

import json
import ssl
import stat
import subprocess

from operator_support import OperatorTest
from support import relays, upstream_table

BASE = """[server]
hostname = "relay.office.example"
state_directory = "state"
control_socket = "control"
postmaster = "it@office.example"
[[listener]]
address = "127.0.0.1:0"
tls = "implicit"
"""


class TestOwnKeys(OperatorTest):
    def setUp(self):
        super().setUp()
        (self.scratch / "secrets").mkdir()
        (self.scratch / "secrets/provider").write_text("secret\n")
        (self.scratch / "secrets/provider").chmod(0o600)
        self.configuration.write_text(BASE + relays.user_table() + upstream_table(587, self.authority.ca_file))
        self.configuration.chmod(0o600)  # it holds a user

    def generate(self, *words):
        return json.loads(self.postern("--json", "tls", "generate", *words).stdout)

    def check(self):
        return subprocess.run([relays.program("posternd"), "--check-config", "--config", self.configuration],
                              capture_output=True, text=True, check=False)

    def test_a_configuration_without_keys_is_made_whole(self):
        self.assertIn("postern tls generate", self.check().stderr)
        self.generate()
        self.assertIn("will leave unsigned", self.check().stdout + self.check().stderr)
        told = self.postern("dkim", "generate", "--missing", "--selector", "p0a1b").stdout
        self.assertIn("p0a1ba._domainkey.office.example", told)
        done = self.check()
        self.assertIn("2 DKIM keys", done.stdout)
        self.assertNotIn("warning", done.stdout + done.stderr)
        self.assertIn("has a key", self.postern("dkim", "generate", "--missing").stdout)
        shown = json.loads(self.postern("--json", "dkim", "show").stdout)["records"]
        self.assertTrue(all(record["record_text"] in told for record in shown))
        self.assertEqual({record["record_name"].split(".")[0] for record in shown}, {"p0a1ba", "p0a1be"})

    def test_keys_that_are_there_are_taken_by_a_fresh_configuration(self):
        self.generate()
        text = self.configuration.read_text()
        self.postern("dkim", "generate", "--missing")
        key = (self.scratch / "dkim/office.example.rsa.pem").read_bytes()
        self.configuration.write_text(text)
        self.postern("dkim", "generate", "--missing")
        self.assertEqual((self.scratch / "dkim/office.example.rsa.pem").read_bytes(), key)
        self.assertIn("2 DKIM keys", self.check().stdout)

    def test_openssl_takes_the_certificate_for_its_names(self):
        made = self.generate("--name", "192.0.2.7")
        self.assertEqual(made["names"], ["relay.office.example", "192.0.2.7"])
        for check in (["-verify_hostname", "relay.office.example"], ["-verify_ip", "192.0.2.7"]):
            subprocess.run(["openssl", "verify", "-x509_strict", "-purpose", "sslserver", *check, "-CAfile",
                            self.scratch / "tls/authority.crt", self.scratch / "tls/own.crt"], check=True, capture_output=True)
        shown = subprocess.run(["openssl", "x509", "-in", self.scratch / "tls/authority.crt", "-noout", "-fingerprint", "-sha256"],
                               check=True, capture_output=True, text=True).stdout
        self.assertIn(made["fingerprint"], shown)
        ssl.create_default_context(cafile=self.scratch / "tls/authority.crt")
        for name in ("own.key", "authority.key"):
            self.assertEqual(stat.S_IMODE((self.scratch / "tls" / name).stat().st_mode), 0o600)

    def test_it_is_kept_until_its_names_change(self):
        self.assertTrue(self.generate()["written"])
        self.assertFalse(self.generate()["written"])
        self.assertTrue(self.generate("--name", "192.0.2.7")["written"])
        self.assertFalse(self.generate("--name", "192.0.2.7")["written"])

    def test_an_authority_without_its_key_is_never_replaced(self):
        self.generate()
        (self.scratch / "tls/authority.key").unlink()
        self.assertIn("authority.key is missing", self.postern("tls", "authority", code=1).stderr)

    def test_a_lost_certificate_of_the_authority_is_made_anew_and_stands_for_what_the_old_one_issued(self):
        """As where a power cut came between the two files."""
        self.generate()
        root, issued = self.scratch / "tls/authority.crt", (self.scratch / "tls/own.crt").read_bytes()
        root.unlink()
        self.assertIn("authority.crt is missing", self.postern("tls", "generate", code=1).stderr)
        self.assertFalse(self.generate("--label", "Postern authority")["written"])
        self.assertEqual((self.scratch / "tls/own.crt").read_bytes(), issued)
        subprocess.run(["openssl", "verify", "-CAfile", root, self.scratch / "tls/own.crt"], check=True, capture_output=True)

    def test_a_renewed_certificate_keeps_its_key(self):
        """So no power cut leaves a key and a certificate of two pairs."""
        self.generate()
        key, certificate = [(self.scratch / f"tls/own.{end}").read_bytes() for end in ("key", "crt")]
        self.assertTrue(self.generate("--name", "192.0.2.7")["written"])
        self.assertEqual((self.scratch / "tls/own.key").read_bytes(), key)
        self.assertNotEqual((self.scratch / "tls/own.crt").read_bytes(), certificate)
