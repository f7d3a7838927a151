"""The list of faults."""

import logging

import pytest

from edge_agent.faults import Fault, FaultBook


def test_a_fault_keeps_its_beginning_and_its_first_log_line(caplog: pytest.LogCaptureFixture) -> None:
    book = FaultBook()
    with caplog.at_level(logging.INFO, "edge_agent.faults"):
        book.set("source door: no chip", 100, "plug it in")
        book.set("source door: chip is busy", 200, "wait")
        assert book.all() == [Fault("source door: chip is busy", 100, "wait")]
        book.clear("source door")
        book.clear("source door")
    assert book.all() == []
    assert [line.getMessage().split()[0] for line in caplog.records] == ["event=fault", "event=fault_over"]


def test_faults_come_oldest_first() -> None:
    book = FaultBook()
    book.set("web: taken", 300)
    book.set("disk: full", 100)
    assert [fault.what for fault in book.all()] == ["disk: full", "web: taken"]


def test_mirrored_faults_come_and_go_with_what_is_seen_and_leave_the_others_alone() -> None:
    book = FaultBook()
    book.set("config: refused", 50)
    book.mirror_all({"disk": ("disk: full", "make room"), "auth": ("auth: wrong", "mend it")}, 100)
    book.mirror_all({"disk": ("disk: still full", "make room")}, 200)
    assert book.all() == [Fault("config: refused", 50, ""), Fault("disk: still full", 100, "make room")]
    book.mirror_all({}, 300)
    assert book.all() == [Fault("config: refused", 50, "")]
    book.mirror_all({"disk": ("disk: full", "")}, 400)
    assert book.all()[-1].since == 400
