"""What a person who runs these tests sees at the end: how much the property was tried on, and by whom."""

from __future__ import annotations

import sys


def pytest_terminal_summary(terminalreporter):
    module = sys.modules.get("tests.gateway.mail.examine")
    if module is None or not module.TALLY.messages:
        return
    terminalreporter.section("no reader finds bytes of an original")
    for line in module.TALLY.table():
        terminalreporter.write_line(line)
