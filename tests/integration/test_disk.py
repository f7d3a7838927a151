"""A disk that is full, read-only, or back again: nothing lost, nothing doubled, and calls go out meanwhile."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.sender import Sender
from edge_agent.delivery.store import DATABASE, Store, open_store
from edge_agent.iotcall.sandbox import Fault, FaultKind, Sandbox
from edge_agent.system.clock import Clock
from tests.daemon import AUTH_CODE, Daemon
from tests.delivery_kit import PLACED, FakeClient, FakeClocks, raised, rule
from tests.helpers import missing, need, wait_until

TABLES = """
[iotcall.rules.pump]
url_key = "PUMP"
max_calls = 0
[sources.number]
type = "serial"
port = "loop://"
""" + "".join(f'[alarms.a{number}]\ninput = "number"\nis = {number}\ncall = "pump"\n' for number in range(1_000))
"""Many alarms, each of which is raised once: one that is raised again and again has its calls held back."""


class Disk:
    """A small disk of its own."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self.image = folder.parent / "image"
        self.kind = kind
        if kind == "ext4":
            with self.image.open("wb") as file:
                file.truncate(4 << 20)
            subprocess.run([need("mke2fs"), "-q", "-F", "-t", "ext4", str(self.image)], check=True)

    def mount(self) -> None:
        what = ["-o", "loop", str(self.image)] if self.kind == "ext4" else ["-t", "tmpfs", "-o", "size=1m", "none"]
        done = subprocess.run(["mount", *what, str(self.folder)], check=False, capture_output=True, text=True)
        if done.returncode:
            missing(f"needs to mount: {done.stderr.strip()}")

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.folder)], check=True)

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.folder)], check=True)

    def fill(self) -> None:
        """Leave not a block."""
        with (self.folder / "filler").open("ab", buffering=0) as file:
            for size in (65536, 4096, 512, 64, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                        os.fsync(file.fileno())
                except OSError:
                    continue

    def empty(self) -> None:
        (self.folder / "filler").unlink()


@contextmanager
def mounted(folder: Path, kind: str) -> Iterator[Disk]:
    if os.geteuid():
        missing("needs root to mount")
    point = folder / "disk"
    point.mkdir()
    disk = Disk(point, kind)
    disk.mount()
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk.folder)], check=True)


def rules_of(outbox: Outbox) -> list[str]:
    return [call.rule for call in outbox.rows()]


def write_until_refused(store: Store, outbox: Outbox, clocks: FakeClocks) -> int:
    """Commit calls until one no longer fits; return how many were committed."""
    for number in range(2_000):
        outbox.commit(raised(clocks.now(), f"rule {number}", f"alarm {number}", reason="x" * 200))
        if store.trouble is not None:
            return number + 1
    raise AssertionError("the disk never filled")


@pytest.mark.parametrize("kind", ["ext4", "tmpfs"])
def test_a_disk_that_fills_up_loses_nothing_and_doubles_nothing(tmp_path: Path, kind: str) -> None:
    with mounted(tmp_path, kind) as disk:
        clocks = FakeClocks()
        store = Store(disk.folder / DATABASE)
        outbox = Outbox(store, clocks)
        outbox.commit(raised(clocks.now(), "before"))
        disk.fill()
        count = write_until_refused(store, outbox, clocks)
        assert store.trouble == "there is no room left"
        outbox.commit(raised(clocks.now(), "meanwhile"))
        wanted = ["before", *(f"rule {n}" for n in range(count)), "meanwhile"]
        assert rules_of(outbox) == wanted
        assert not store.mend()
        assert rules_of(outbox) == wanted
        disk.empty()
        assert store.mend()
        outbox.commit(raised(clocks.now(), "after"))
        store.close()
        store = Store(disk.folder / DATABASE)
        assert rules_of(Outbox(store, clocks)) == [*wanted, "after"]
        store.close()


def test_calls_go_out_from_memory(tmp_path: Path) -> None:
    with mounted(tmp_path, "tmpfs") as disk:
        clocks = Clock(trusted=True)
        store = Store(disk.folder / DATABASE)
        outbox = Outbox(store, clocks)
        client = FakeClient(FakeClocks(), lambda _key: PLACED)
        sender = Sender(outbox, lambda: client, {"pump": rule("PUMP")}, clocks, lambda *_: None)
        sender.start()
        disk.fill()
        for number in range(60):
            outbox.commit(raised(clocks.now(), "pump", f"alarm {number}", reason="x" * 1000))
            sender.wake()
        wait_until(lambda: {call.state for call in outbox.rows()} == {"placed"})
        assert store.trouble is not None
        sent = len(client.sent)
        disk.empty()
        assert store.mend()
        sender.stop(2.0)
        outbox.close()
        assert len(client.sent) == sent
        store = Store(disk.folder / DATABASE)
        rows = Outbox(store, clocks).rows()
        assert [call.alarm for call in rows] == [f"alarm {n}" for n in range(60)]
        assert {(call.state, call.sending) for call in rows} == {("placed", False)}
        store.close()


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("how", ["full", "read-only"])
def test_an_agent_that_starts_on_such_a_disk_knows_what_is_on_it(tmp_path: Path, how: str, *, clean: bool) -> None:
    with mounted(tmp_path, "ext4") as disk:
        clocks = FakeClocks()
        before = Store(disk.folder / DATABASE)
        Outbox(before, clocks).commit(raised(clocks.now(), "before"))
        if clean:
            before.close()
        else:  # as a kill leaves it: with its log, and the log's index
            for name in (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"):
                (tmp_path / name).write_bytes((disk.folder / name).read_bytes())
            before.close()
            for name in (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"):
                (disk.folder / name).write_bytes((tmp_path / name).read_bytes())
        if how == "full":
            disk.fill()
        else:
            disk.remount("ro")
        store = open_store(disk.folder)
        outbox = Outbox(store, clocks)
        outbox.commit(raised(clocks.now(), "meanwhile", alarm="cold", reason="x" * 20_000))
        assert store.trouble is not None
        assert store.set_aside is None
        assert rules_of(outbox) == ["before", "meanwhile"]
        assert not store.mend()
        if how == "full":
            disk.empty()
        else:
            disk.remount("rw")
        assert store.mend()
        store.close()
        store = Store(disk.folder / DATABASE)
        assert rules_of(Outbox(store, clocks)) == ["before", "meanwhile"]
        assert len(Outbox(store, clocks).records()) == 2
        store.close()


def test_an_empty_read_only_disk_is_begun_in_memory(tmp_path: Path) -> None:
    with mounted(tmp_path, "tmpfs") as disk:
        disk.remount("ro")
        store = open_store(disk.folder)
        outbox = Outbox(store, FakeClocks())
        outbox.commit(raised(1, "meanwhile"))
        assert (store.trouble, rules_of(outbox)) == ("Read-only file system", ["meanwhile"])
        disk.remount("rw")
        assert store.mend()
        assert [call.id for call in outbox.rows()] == [1]
        store.close()


def test_a_disk_that_was_mounted_anew_is_found(tmp_path: Path) -> None:
    """After a real I/O error a file system stays read-only until it is mounted again: the old file is gone then."""
    with mounted(tmp_path, "ext4") as disk:
        clocks = FakeClocks()
        store = Store(disk.folder / DATABASE)
        outbox = Outbox(store, clocks)
        outbox.commit(raised(clocks.now(), "before"))
        disk.fill()
        write_until_refused(store, outbox, clocks)
        disk.unmount()
        disk.mount()
        disk.empty()
        assert store.mend()
        assert rules_of(outbox)[0] == "before"
        store.close()


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_the_agent_lives_on_without_a_disk_and_says_so(tmp_path: Path, how: str) -> None:
    with mounted(tmp_path, "ext4") as disk, Sandbox(AUTH_CODE) as sandbox, ExitStack() as stack:
        daemon = Daemon(tmp_path, sandbox.url, TABLES)
        daemon.state_dir = disk.folder
        daemon.configure(TABLES)
        stack.callback(daemon.close)
        daemon.start()
        if how == "full":
            disk.fill()
        else:
            daemon.stop()
            disk.remount("ro")
            daemon.start()

        def faults() -> list[str]:
            return [str(fault["what"]).partition(":")[0] for fault in daemon.get("/api/v1/status")["faults"]]

        def trip() -> None:
            daemon.inject("number", tripped)

        tripped = 0

        def in_trouble() -> bool:
            nonlocal tripped
            trip()
            tripped += 1
            return "disk" in faults()

        wait_until(in_trouble, 15)
        trip()
        tripped += 1
        wait_until(lambda: [row["state"] for row in daemon.outbox()] == ["placed"] * tripped)
        shown = json.loads(daemon.command("outbox", "list", "--json"))
        assert len(shown) == tripped, "the command asks the agent, which alone knows"
        sandbox.fault = Fault(FaultKind.DOWN)
        trip()
        tripped += 1
        if how == "full":
            disk.empty()
        else:
            disk.remount("rw")
        wait_until(lambda: "disk" not in faults(), 15)
        daemon.stop()
        sandbox.fault = None
        daemon.start()
        wait_until(lambda: [row["state"] for row in daemon.outbox()] == ["placed"] * tripped)
        daemon.stop()
        rows = json.loads(daemon.command("outbox", "list", "--json"))
        assert len({row["placed_at"] for row in rows}) == len(sandbox.calls), "each call in one POST, and none in two"
