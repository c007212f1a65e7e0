#!/usr/bin/env python3
"""Merges JUnit files into one, prints what failed, and ends with the line that counts.

Exit status: 0 when something passed and nothing failed.
"""
import argparse
import sys
import xml.etree.ElementTree as ET


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", required=True)
    parser.add_argument("files", nargs="+")
    options = parser.parse_args()

    merged = ET.Element("testsuites")
    passed = failed = skipped = 0
    for path in options.files:
        try:
            root = ET.parse(path).getroot()
        except (OSError, ET.ParseError) as error:
            print(f"no results in {path}: {error}")
            failed += 1
            continue
        suites = [root] if root.tag == "testsuite" else root.findall("testsuite")
        for suite in suites:
            merged.append(suite)
            cases = suite.findall("testcase")
            for case in cases:
                if case.find("failure") is not None or case.find("error") is not None:
                    failed += 1
                    print(f"FAILED {suite.get('name')}: {case.get('name')}")
                elif case.find("skipped") is not None or case.get("status") == "notrun":
                    skipped += 1
                    print(f"skipped {suite.get('name')}: {case.get('name')}")
                else:
                    passed += 1
            # A program that ended before it could list its cases.
            missing = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            if missing and not any(c.find("failure") is not None or c.find("error") is not None for c in cases):
                failed += missing
                print(f"FAILED {suite.get('name')}")
    ET.ElementTree(merged).write(options.output, encoding="utf-8", xml_declaration=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
