"""The engine against the naive model: on every configuration and script they say the same."""

import pytest
from hypothesis import given, settings

from tests.unit.engine_play import Waking, by_alarm, happened, play
from tests.unit.engine_strategies import Scenario, scenarios
from tests.unit.reference import Model

pytestmark = pytest.mark.faults

many = settings(max_examples=3 * settings().max_examples)
"""Disagreements are rare, and the model is quick."""


def agree(scenario: Scenario, waking: Waking) -> None:
    """Compare the events of each alarm instance, in order; across alarms the order within an instant is free."""
    expected = Model(scenario.config, scenario.unit).play(scenario.script, scenario.until)
    events = play(scenario.config, scenario.script, scenario.until, waking=waking)
    assert by_alarm(happened(events)) == by_alarm(expected)


@many
@given(scenarios(tame=True))
def test_the_engine_makes_of_readings_what_the_definitions_say(scenario: Scenario) -> None:
    """Every test, alone and in all and any, with every option, on points of every kind."""
    agree(scenario, Waking.DEADLINES)


@many
@given(scenarios())
def test_the_engine_makes_of_commands_and_clocks_what_the_definitions_say(scenario: Scenario) -> None:
    """The same while people acknowledge and shelve, the wall clock jumps, and other calls use up the budget."""
    agree(scenario, Waking.DEADLINES)


@many
@given(scenarios())
def test_the_engine_needs_no_tick_to_be_exact(scenario: Scenario) -> None:
    """A step finds all that fell due before it, each thing at its own instant and in order."""
    agree(scenario, Waking.NEVER)
