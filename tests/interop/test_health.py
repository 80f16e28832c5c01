"""The health check of a running relay, and what the operator's command says on a machine that is no box."""

import json

from operator_support import OperatorTest, good, status
from support import InteropTest


class TheHealthCheck(InteropTest):
    def health(self, relay, *words, code=0):
        done = relay.postern("--json", "health", *words, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def test_listeners_show_the_configured_certificate_and_the_upstream_is_greeted_alone(self):
        for tls in ("starttls", "implicit"):
            upstream = self.start_upstream(tls=tls)
            with self.relay_to(upstream) as relay:
                found = self.health(relay)
                self.assertTrue(found["healthy"])
                self.assertEqual([(each["name"], each["result"]) for each in found["listeners"]],
                                 [(f"127.0.0.1:{relay.implicit_port}", "reached"), (f"127.0.0.1:{relay.starttls_port}", "reached")])
                self.assertEqual([each["result"] for each in found["upstreams"]], ["reached"])
                self.assertIn("good", relay.postern("health").stdout)
            self.assert_no_mail_or_auth(upstream)
            self.assertIn("QUIT", [line for _, line in upstream.commands()])

    def test_a_new_certificate_counts_once_it_is_in_force(self):
        with self.relay_to(self.start_upstream()) as relay:
            certificate, key = self.authority.issue("renewed", ["relay.office.example", "localhost"])
            lines = [f'certificate_file = "{certificate}"' if line.startswith("certificate_file") else
                     f'private_key_file = "{key}"' if line.startswith("private_key_file") else line
                     for line in relay.text.splitlines()]
            relay.configuration.write_text("\n".join(lines) + "\n")
            relay.postern("reload")
            self.assertTrue(self.health(relay)["healthy"])

    def test_an_upstream_that_is_away_is_no_fault(self):
        upstream = self.start_upstream()
        with self.relay_to(upstream) as relay:
            upstream.stop()
            [found] = self.health(relay)["upstreams"]
            self.assertEqual(found["result"], "away")
            self.assertIn("refused", found["reason"])

    def test_that_every_upstream_is_away_is_a_fault_where_one_was_reached_before(self):
        upstream, known = self.start_upstream(), self.scratch / "known"
        with self.relay_to(upstream) as relay:
            self.health(relay, "--note", known)
            self.assertEqual(known.read_text(), "reached provider\n")
            self.assertTrue(self.health(relay, "--known", known)["healthy"])
            upstream.stop()
            self.assertFalse(self.health(relay, "--known", known, code=1)["healthy"])
            known.write_text("")
            self.assertTrue(self.health(relay, "--known", known)["healthy"])

    def test_a_fault_counts_unless_it_was_there_before(self):
        certificate, key = self.authority.issue("other", ["some-other.example"])
        upstream = self.start_upstream(certificate=certificate, private_key=key)
        faults = self.scratch / "faults"
        with self.relay_to(upstream) as relay:
            found = self.health(relay, "--known", faults, code=1)
            self.assertFalse(found["healthy"])
            self.assertEqual(found["upstreams"][0]["result"], "faulty")
            said = relay.postern("health", check=False)
            self.assertRegex(said.stderr, r"^postern: upstream provider: .*some-other\.example")
            self.health(relay, "--note", faults, code=1)
            self.assertEqual(faults.read_text(), "4.7.5 provider\n")
            self.assertTrue(self.health(relay, "--known", faults)["healthy"])
            faults.write_text("4.7.4 provider\n4.7.5 another\n")
            self.assertFalse(self.health(relay, "--known", faults, code=1)["healthy"])


class OnAMachineThatIsNoBox(OperatorTest):
    def test_an_update_says_what_to_do_instead(self):
        said = self.postern("update", self.scratch / "postern-update.bundle", code=1).stderr
        self.assertIn("this machine is no Postern box", said)
        self.assertIn("package manager", said)

    def test_the_status_shows_no_slot(self):
        self.answer(status=good(status()))
        self.assertNotIn("Slot", self.postern("status").stdout)
        self.assertNotIn("box", json.loads(self.postern("--json", "status").stdout))

    def test_a_listener_that_does_not_answer_is_told_with_its_reason(self):
        self.answer(health=good({"listeners": [{"name": "[::]:465", "host": "::1", "result": "away", "status": "4.4.1",
                                                "reason": "connection refused"}], "upstreams": []}))
        self.assertEqual(self.postern("health", code=1).stderr, 'postern: listener [::]:465: "connection refused"\n')
