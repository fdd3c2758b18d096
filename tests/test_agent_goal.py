from pipeline.agent import Goal
from pipeline.agent.goal import by_priority


def test_higher_priority_comes_first_and_equals_keep_their_order() -> None:
    """Goals are told by priority, highest first, and equals in the order in which they were given."""
    goals = [Goal("a", ""), Goal("b", "", 5), Goal("c", ""), Goal("d", "", 5), Goal("e", "", -1)]
    assert [goal.name for goal in by_priority(goals)] == ["b", "d", "a", "c", "e"]
