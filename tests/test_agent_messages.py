from pipeline.agent.messages import assistant_message, merge_same_role, system_message, user_message

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def test_neighbours_of_the_same_role_become_one_message() -> None:
    """User and system messages that follow each other are joined, so that roles alternate."""
    told = [system_message("a"), system_message("b"), user_message("c"), user_message("d"), assistant_message("e")]
    assert merge_same_role(told) == (system_message("a\n\nb"), user_message("c\n\nd"), assistant_message("e"))


def test_text_joins_an_image_as_one_more_part() -> None:
    """A text after a message with an image becomes a part of that message."""
    (merged,) = merge_same_role([user_message((IMAGE,)), user_message("what is it?")])
    assert merged["content"] == [IMAGE, {"type": "text", "text": "what is it?"}]


def test_tool_results_and_calls_stay_apart() -> None:
    """Results of several calls, and assistant messages with calls, are never joined."""
    call = {**assistant_message(""), "tool_calls": [{"id": "1"}]}
    results = [{"role": "tool", "tool_call_id": i, "content": ""} for i in "12"]
    told = (call, *results, assistant_message("x"), call)
    assert merge_same_role(told) == told


def test_the_messages_given_are_left_alone() -> None:
    """Merging makes new messages and changes none that it was given, since a prefix is shared by callers."""
    first = user_message("a")
    merge_same_role([first, user_message("b")])
    assert first == {"role": "user", "content": "a"}
