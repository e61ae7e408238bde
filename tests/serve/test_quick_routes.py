"""The ingress that tests call is the one that is served, but for the time it takes to build."""

from dataclasses import fields
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from serve.api import IngressDeps, build_api
from tests.serve import quick_routes
from tests.serve.quick_routes import quick_routes as quick

OWN = {"endpoint", "app", "dependant", "_flat_dependant", "dependency_overrides_provider"}
# these are told by what they were made of
FIELDS = {"response_field", "stream_item_field", "body_field", "response_fields"}


def told(route: APIRoute) -> dict[str, Any]:
    plain = {name: value for name, value in vars(route).items() if name not in OWN | FIELDS}
    params = {
        one.name: repr(getattr(route.dependant, one.name)) for one in fields(route.dependant) if one.name != "call"
    }
    return {**plain, **params, **{name: repr(getattr(route, name)) for name in FIELDS}}


def routes(api: FastAPI) -> list[APIRoute]:
    return [route for route in api.routes if isinstance(route, APIRoute)]


def test_every_route_is_what_fastapi_makes_of_it_and_stands_on_its_own_test(deps: IngressDeps) -> None:
    whole = build_api(deps)
    with quick():
        before, again = build_api(deps), build_api(deps)
        known = len(quick_routes._known)
        build_api(deps)
    assert len(quick_routes._known) == known >= len(routes(whole)) > 70
    assert [told(route) for route in routes(again)] == [told(route) for route in routes(whole)]
    assert again.openapi() == whole.openapi()
    for first, second in zip(routes(before), routes(again), strict=True):
        assert second.endpoint.__code__ is first.endpoint.__code__
        assert second.dependant.call is second.endpoint
        assert second.app is not first.app
        assert (
            None in (first.endpoint.__closure__, second.endpoint.__closure__) or second.endpoint is not first.endpoint
        )
