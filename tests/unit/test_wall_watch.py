"""The wall clock's watch: a jump is noticed at once, synchronisation within a second, drift not at all."""

from datetime import datetime

from edge_agent.core.fields import SECOND
from edge_agent.wall_watch import WallWatch

YEAR = 31_557_600 * SECOND


class Clocks:
    boot_id = "boot"

    def __init__(self) -> None:
        self.boot = 0
        self.skew = 50 * YEAR
        self.is_synced = False
        self.asked = 0

    def now(self) -> int:
        return self.boot

    def wall(self) -> int:
        return self.boot + self.skew

    def synced(self) -> bool:
        self.asked += 1
        return self.is_synced

    def observe(self, date: datetime) -> None:
        raise NotImplementedError


def test_a_jump_of_the_wall_clock_is_noticed_at_the_next_look() -> None:
    clocks = Clocks()
    watch = WallWatch(clocks)
    assert watch.skew == 50 * YEAR
    for years in (60, 40, 0):
        clocks.skew = years * YEAR
        assert watch.look(clocks.now())
        assert watch.skew == years * YEAR
        assert not watch.look(clocks.now())


def test_steering_is_no_jump_until_it_adds_up() -> None:
    clocks = Clocks()
    watch = WallWatch(clocks)
    for _ in range(10):
        clocks.skew += 1_000
        assert not watch.look(clocks.now())
    clocks.skew += 1_000
    assert watch.look(clocks.now())


def test_synchronisation_is_asked_for_once_a_second_at_most_and_at_a_jump() -> None:
    clocks = Clocks()
    watch = WallWatch(clocks)
    clocks.is_synced = True
    for tick in range(1, 100):
        clocks.boot = tick * SECOND // 100
        assert not watch.look(clocks.now())
    assert clocks.asked == 1
    clocks.boot = SECOND
    assert watch.look(clocks.now())
    assert (watch.synced, clocks.asked) == (True, 2)
    clocks.is_synced, clocks.skew = False, 0
    assert watch.look(clocks.now())
    assert not watch.synced
