"""What the operator's command says: over a control socket that answers as the test wants, and to a real relay."""

import json
import os
import pty
import subprocess
import tempfile

from operator_support import COMMAND_SECONDS_MAX, OperatorTest, good, queued, status
from support import relays, upstream_table


class TestAnswersInWords(OperatorTest):
    def test_a_reload_says_what_waits_for_a_restart(self):
        answer = {"reloaded": True, "restart_needed": ["state_directory", "listener"]}
        self.answer(reload=good(answer))
        told = self.postern("reload").stdout
        self.assertIn("has reloaded", told)
        self.assertIn("wait for a restart of posternd", told)
        self.assertIn("[server] state_directory\n", told)
        self.assertIn("the [[listener]] tables\n", told)
        self.assertEqual(json.loads(self.postern("--json", "reload").stdout), answer)

    def test_a_reload_that_took_all_speaks_of_no_restart(self):
        self.answer(reload=good({"reloaded": True, "restart_needed": []}))
        self.assertNotIn("restart", self.postern("reload").stdout)

    def test_the_status_tells_the_certificates_end_and_what_waits_for_a_restart(self):
        control = self.answer(status=good(status(restart_needed=["control_socket"])))
        told = self.postern("status").stdout
        self.assertIn("expires 2027-01-10T00:00:00Z, in 47 days\n", told)
        self.assertIn("[server] control_socket\n", told)
        found = json.loads(self.postern("--json", "status").stdout)
        self.assertEqual((found["certificate_expires"], found["restart_needed"]),
                         ("2027-01-10T00:00:00Z", ["control_socket"]))
        control.answers["status"] = good(status(certificate_expires="2026-11-25T00:00:00Z"))
        self.assertIn("in 1 day; renew it", self.postern("status").stdout)
        control.answers["status"] = good(status(certificate_expires="2026-11-24T09:59:59Z"))
        self.assertIn("expired 2026-11-24T09:59:59Z; renew it", self.postern("status").stdout)

    def test_one_is_told_in_the_singular(self):
        self.answer(status=good(status()))
        told = self.postern("status").stdout
        self.assertIn("1 message,", told)
        self.assertIn("1 recipient relayed", told)

    def test_a_change_that_failed_for_some_messages_ends_with_1_and_the_first_reason(self):
        answer = {"changed": 2, "failed": 1, "first_failure": "change 6H0N2WB2V5T4R: it is being sent"}
        self.answer(queue_hold=good(answer))
        done = self.postern("queue", "hold", "--all", code=1)
        self.assertIn("2 messages held", done.stdout)
        self.assertEqual(done.stderr,
                         "postern: 1 message could not be changed: change 6H0N2WB2V5T4R: it is being sent\n")
        self.assertEqual(json.loads(self.postern("--json", "queue", "hold", "--all", code=1).stdout), answer)

    def test_a_held_message_shows_no_next_time(self):
        self.answer(queue_list=good({"messages": [queued(held=True)], "more": 0}), queue_show=good(queued(held=True)))
        for words in (("list",), ("show", "6H0N2WB2V5T4R")):
            told = self.postern("queue", *words).stdout
            self.assertIn("held", told)
            self.assertNotIn("11:11:11", told)

    def test_a_list_that_is_not_whole_says_so_to_people_and_scripts(self):
        self.answer(queue_list=good({"messages": [queued()], "more": 12}))
        told = "postern: the queue holds 12 messages more than a list has room for\n"
        self.assertEqual(self.postern("queue", "list").stderr, told)
        done = self.postern("--json", "queue", "list")
        self.assertEqual(json.loads(done.stdout), [queued()])
        self.assertEqual(done.stderr, told)

    def test_a_waiting_message_shows_its_next_time(self):
        self.answer(queue_list=good({"messages": [queued()], "more": 0}), queue_show=good(queued()))
        for words in (("list",), ("show", "6H0N2WB2V5T4R")):
            self.assertIn("11:11:11", self.postern("queue", *words).stdout)


class TestReloadAfterAChange(OperatorTest):
    ADD = ("user", "add", "door", "--from", "door@office.example")

    def test_a_refused_reload_ends_with_1_and_says_what_is_in_force(self):
        self.answer(reload={"ok": False, "error": "reload the configuration: 2 problems:\nfirst\nsecond",
                            "advice": "mend it"})
        done = self.postern(*self.ADD, code=1)
        self.assertIn("Password", done.stdout)
        self.assertIn("written but not in force", done.stderr)
        self.assertIn("\nfirst\nsecond\n", done.stderr)

    def test_a_refused_reload_is_told_in_json_too(self):
        self.answer(reload={"ok": False, "error": "no", "advice": "mend it"})
        found = json.loads(self.postern("--json", *self.ADD, code=1).stdout)
        self.assertEqual((found["user"], found["reload"], found["reload_error"]), ("door", "refused", "no"))

    def test_a_good_reload_ends_with_0(self):
        self.answer(reload=good({"reloaded": True, "restart_needed": ["listener"]}))
        self.assertIn("the [[listener]] tables", self.postern(*self.ADD).stdout)

    def test_a_real_relay_tells_each_problem_on_a_line_of_its_own(self):
        upstream = upstream_table(relays.free_port(), self.authority.ca_file)
        with relays.Relay(tempfile.mkdtemp(dir=self.scratch), self.authority, [upstream]) as relay:
            relay.configuration.write_text(relay.text + "[nonsense]\n[rubbish]\n")
            done = relay.postern("reload", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r"2 problems:\n\S+postern.toml:\d+:2: .*\n\S+postern.toml:\d+:2: .*\n")
            shown = relay.postern("status")
            self.assertRegex(shown.stderr, r"\n\S+postern.toml:\d+:2: .*\n\S+postern.toml:\d+:2: .*\n")
            self.assertEqual(relay.postern(*self.ADD, check=False).returncode, 1)
            relay.configuration.write_text(relay.text)


class TestWords(OperatorTest):
    def test_a_mistyped_command_is_named_with_the_nearest_right_one(self):
        self.assertIn('"quue" is no command of `postern`; did you mean "queue"?',
                      self.postern("quue", "list", code=2).stderr)
        self.assertIn('"lst" is no command of `postern queue`; did you mean "list"?',
                      self.postern("queue", "lst", code=2).stderr)
        self.assertIn("there are user, queue,", self.postern("xyzzy", code=2).stderr)
        self.assertIn("is no command", json.loads(self.postern("--json", "stats", code=2).stderr)["error"])

    def test_posternd_tells_its_usage_and_names_what_it_does_not_know(self):
        def posternd(*words):
            return subprocess.run([relays.program("posternd"), *words], check=False, capture_output=True, text=True,
                                  timeout=COMMAND_SECONDS_MAX)
        done = posternd("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("usage: posternd", done.stdout)
        done = posternd("--chek-config")
        self.assertEqual(done.returncode, 2)
        self.assertIn("unknown argument --chek-config", done.stderr)
        self.assertIn("--config needs the name of a file", posternd("--config").stderr)

    def test_a_long_list_is_cut_on_a_terminal_and_whole_in_a_pipe(self):
        sender = "a-very-long-local-part-of-a-device-on-the-third-floor@scans.of.the.office.example"
        self.postern("user", "add", "door", "--from", sender)
        self.assertIn(sender, self.postern("user", "list").stdout)
        ours, theirs = pty.openpty()
        subprocess.run([relays.program("postern"), "--config", self.configuration, "user", "list"], check=True,
                       stdout=theirs, timeout=COMMAND_SECONDS_MAX)
        os.close(theirs)
        shown = os.read(ours, 65536).decode()
        os.close(ours)
        self.assertNotIn(sender, shown)
        self.assertLessEqual(max(map(len, shown.splitlines())), 80)
