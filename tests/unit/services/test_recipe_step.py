"""Identities of what a step sends."""

from __future__ import annotations

from service_steps import step_for


def sent_identity(*, message_id: str = "same", is_identified: bool) -> str:
    step = step_for(output=2, message_id=message_id, is_identified=is_identified)
    step.send("result")
    [message] = step.outgoing
    return message.message_id


def test_a_message_that_is_handled_again_sends_under_the_same_identity() -> None:
    assert sent_identity(is_identified=True) == sent_identity(is_identified=True)
    assert sent_identity(is_identified=True) != sent_identity(message_id="other", is_identified=True)


def test_messages_that_only_look_alike_send_under_different_identities() -> None:
    assert sent_identity(is_identified=False) != sent_identity(is_identified=False)


def test_an_identity_that_a_service_chose_holds_also_for_a_message_without_one() -> None:
    sent = set()
    for _ in range(2):
        step = step_for(output=2, message_id="content", is_identified=False)
        step.message_id = "chosen"
        step.send("result")
        sent |= {message.message_id for message in step.outgoing}
    assert len(sent) == 1
