"""scripts/rfc_coverage says what is missing: made-up trees and results, and the verdict on each."""
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ET
from pathlib import Path

SCRIPT = sys.argv.pop(1)

CHECKS = """
C-01 = { name = "one", clause = "RFC 1 1" }
C-02 = { name = "two", clause = "RFC 1 2" }
C-103 = { name = "three", clause = "RFC 1 3" }
"""
SOURCES = """
TEST(Plain, C01_Holds) {}
TEST(Plain,
     C02_C103_HoldBoth) {}
TEST_P(Several, C02_Too) {}
TEST(Plain, NoC01_Here) {}
"""


def case(name, suite="Plain", inside="", status="run"):
    return f'<testcase name="{name}" classname="{suite}" status="{status}">{inside}</testcase>'


ALL = [case("C01_Holds"), case("C02_C103_HoldBoth"), case("C02_Too/0", "In/Several"), case("C02_Too/1", "In/Several")]


class RfcCoverage(unittest.TestCase):
    def setUp(self):
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.root = Path(held.name)
        (self.root / "tests/unit").mkdir(parents=True)
        (self.root / "docs").mkdir()
        (self.root / "tests/checks.toml").write_text(CHECKS)
        (self.root / "tests/unit/a_test.cpp").write_text(SOURCES)
        self.page = self.root / "docs/RFC_COVERAGE.md"

    def run_script(self, cases, *flags):
        results = self.root / "results.xml"
        results.write_text(f"<testsuites><testsuite name='s'>{''.join(cases)}</testsuite></testsuites>")
        done = subprocess.run([sys.executable, SCRIPT, "--root", self.root, *flags, results], capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.stderr, "")
        return done.returncode, done.stdout.splitlines()

    def refused(self, cases, *sentences):
        self.run_script(ALL)
        self.run_script(cases)  # the page is up to date, so that only the check itself can fail
        code, lines = self.run_script(cases, "--check")
        self.assertEqual(code, 1)
        self.assertEqual(lines, list(sentences))

    def test_everything_proved(self):
        self.assertEqual(self.run_script(ALL)[0], 0)
        self.assertEqual(self.run_script(ALL, "--check")[0], 0)
        text = self.page.read_text()
        self.assertIn("| C-103 | three | RFC 1 3 | `tests/unit/a_test.cpp` | Plain.HoldBoth |", text)
        self.assertIn("| Plain.HoldBoth<br>Several.Too |", text)
        self.assertNotIn("(no source found)", text)

    def test_a_check_without_a_test_is_named(self):
        self.refused(ALL[1:], "C-01 (one) has no test that ran and passed.")
        self.refused([ALL[0], ALL[2]], "C-103 (three) has no test that ran and passed.")
        self.refused([], *[f"{check} has no test that ran and passed."
                           for check in ("C-01 (one)", "C-02 (two)", "C-103 (three)")])

    def test_failed_and_skipped_cases_prove_nothing(self):
        sentence = "C-01 (one) has no test that ran and passed."
        self.refused([case("C01_Holds", inside="<failure message='no'/>"), *ALL[1:]], sentence)
        self.refused([case("C01_Holds", inside="<skipped message='no'/>"), *ALL[1:]], sentence)
        self.refused([case("C01_Holds", status="notrun"), *ALL[1:]], sentence)
        self.refused([ALL[0], case("C01_Holds", inside="<error/>"), *ALL[1:]], sentence)

    def test_a_case_that_one_run_skips_and_another_passes_proves(self):
        self.run_script(ALL)
        code, _ = self.run_script([case("C01_Holds", inside="<skipped message='here'/>"), *ALL], "--check")
        self.assertEqual(code, 0)

    def test_one_failed_test_of_several_is_missed_on_the_page(self):
        self.run_script(ALL)
        code, lines = self.run_script([*ALL[:2], case("C02_Too/0", "In/Several", "<failure message='no'/>")], "--check")
        self.assertEqual((code, len(lines)), (1, 1))
        self.assertIn("out of date", lines[0])

    def test_an_id_counts_at_the_start_of_a_name_only(self):
        self.refused([case("NoC01_Here"), case("C010_Holds"), *ALL[1:]],
                     "C-01 (one) has no test that ran and passed.",
                     "C-10 is carried by a test but is not in tests/checks.toml.")

    def test_a_page_that_is_out_of_date(self):
        self.run_script(ALL)
        self.page.write_text(self.page.read_text() + "by hand\n")
        code, lines = self.run_script(ALL, "--check")
        self.assertEqual((code, len(lines)), (1, 1))
        self.assertIn("out of date", lines[0])

    def test_the_verdict_is_a_case_of_its_own(self):
        junit = self.root / "verdict.xml"
        self.run_script(ALL)
        self.run_script(ALL, "--check", "--junit", str(junit))
        self.assertIsNone(ET.parse(junit).getroot().find("testsuite/testcase/failure"))
        self.run_script(ALL[1:], "--check", "--junit", str(junit))
        verdict = ET.parse(junit).getroot().find("testsuite/testcase")
        self.assertEqual(verdict.get("name"), "rfc_coverage")
        self.assertIn("C-01 (one)", verdict.find("failure").text)

    def test_results_that_cannot_be_read(self):
        results = self.root / "broken.xml"
        results.write_text("<testsuites>")
        done = subprocess.run([sys.executable, SCRIPT, "--root", self.root, "--check", results], capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot be read", done.stdout)


unittest.main()
