"""The scopes that the documentation gives each service's token are those that it needs, and none beside them."""

from __future__ import annotations

from busnode.events.envelope import NODE_REQUESTS, NODE_RESPONSES, SCRIPT_REQUEST, SCRIPT_RESPONSE
from tests.busnode.events.events_server import scope_of
from tests.busnode.services.documented import API, NODE, RUNNER, scopes

# What each sends and hears.
EVENTS = {
    API: (*NODE_REQUESTS, *NODE_RESPONSES),
    NODE: (*NODE_REQUESTS, *NODE_RESPONSES, SCRIPT_REQUEST, SCRIPT_RESPONSE),
    RUNNER: (SCRIPT_REQUEST, SCRIPT_RESPONSE),
}


def test_no_token_is_to_have_more_than_its_service_needs() -> None:
    assert scopes() == {name: {scope_of(event) for event in events} for name, events in EVENTS.items()}
