"""Questions to the engine's thread: one answer, or the certainty that nothing was done."""

import threading

import pytest

from edge_agent.question import NotAnsweredError, NotTakenError, Question


def test_the_answer_is_given_once_it_is_settled() -> None:
    question = Question(lambda: 7)
    question()
    with pytest.raises(NotAnsweredError):
        question.answer(0)
    question.settle()
    assert question.answer(0) == 7


def test_a_question_given_up_is_never_carried_out() -> None:
    done: list[int] = []
    question = Question(lambda: done.append(1))
    with pytest.raises(NotTakenError):
        question.answer(0)
    question()
    assert done == []


def test_what_the_command_raises_is_the_callers() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    question = Question(broken)
    question()
    question.settle()
    with pytest.raises(ZeroDivisionError):
        question.answer(0)


def test_either_it_is_carried_out_or_the_caller_knows_that_it_is_not() -> None:
    for _ in range(200):
        done: list[int] = []
        question = Question(lambda done=done: done.append(1))  # type: ignore[misc]
        runner = threading.Thread(target=lambda question=question: (question(), question.settle()))
        runner.start()
        try:
            question.answer(0)
            taken = True
        except NotTakenError:
            taken = False
        except NotAnsweredError:
            taken = True
        runner.join()
        assert done == ([1] if taken else [])
