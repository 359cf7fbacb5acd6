"""`Log`: the documented methods over the standard library's logging, without control characters (S29)."""

import logging

from autobahn.log import Log


def test_lines_have_no_control_characters(caplog):
    caplog.set_level(logging.INFO, "autobahn")
    log = Log("autobahn.test")
    log.info("{a} and {b}", a="x\x1b[31m\r\n\x85", b=5)
    log.warn("{missing}", a=1)
    log.debug("{boom}")
    log.error("failed", exc_info=ValueError("x"))
    log.critical(format="{a}", a="old style")
    log.trace("hidden")
    assert caplog.records[0].getMessage() == r"x\x1b[31m\x0d\x0a\x85 and 5"
    assert caplog.records[1].getMessage() == "{missing} {'a': 1}"
    assert [r.levelname for r in caplog.records] == ["INFO", "WARNING", "ERROR", "CRITICAL"]
    assert caplog.records[3].getMessage() == "old style"
