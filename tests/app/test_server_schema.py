"""Whatever the schema allows, and much that it does not, is answered without a fault."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("fastapi", reason="needs the app extra")
schemathesis = pytest.importorskip("schemathesis")

EXAMPLES = int(os.environ.get("CAMSCOPE_SCHEMA_EXAMPLES", "6"))
"""Of each route; some hundreds are for a machine of one's own."""


@pytest.fixture(scope="module")
def schema(served):
    return schemathesis.openapi.from_dict(served.get("/api/openapi.json"))


def test_the_schema_names_every_route(schema):
    assert sorted(f"{one.ok().method} {one.ok().path}".upper() for one in schema.get_all_operations()) == [
        "GET /API/MODELS/{ID}/CLASSES",
        "GET /API/MODELS/{ID}/INSTANCES",
        "GET /API/MODELS/{ID}/LAYERS",
        "GET /API/MODELS/{ID}/METHODS",
        "GET /API/PHOTOS/{ID}/PICTURE",
        "GET /API/RUNS/{ID}",
        "GET /API/RUNS/{ID}/FACETS",
        "GET /API/RUNS/{ID}/MEANS",
        "GET /API/RUNS/{ID}/PHOTOS/{IMAGE}",
        "GET /API/RUNS/{ID}/ROWS",
        "GET /API/RUNS/{ID}/ROWS/{IMAGE}",
        "GET /API/RUNS/{ID}/SCATTER",
        "GET /API/STATE",
        "GET /API/TRAININGS/{ID}",
        "POST /API/CELLS",
        "POST /API/EXPLAIN",
        "POST /API/PHOTOS",
        "POST /API/REPORT",
        "POST /API/RUNS/{ID}/ROWS",
        "POST /API/SCORES",
        "POST /API/TEXTS",
        "POST /API/TEXTS/SCORES",
        "POST /API/TRUST",
    ]


def test_nothing_that_is_asked_is_a_fault(served, schema):
    photo = served.dropped()
    ids = {"models": "m1", "photos": photo, "runs": "r1", "trainings": "t1"}
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(), there=st.booleans())
        def ask(case, there):
            if there:  # of what is there; else the ids are such that nothing is
                noun = case.path.split("/")[2]
                if noun in ids and case.path_parameters:
                    case.path_parameters["id"] = ids[noun]
                if isinstance(case.body, dict):
                    case.body |= {name: ids[f"{name}s"] for name in ("model", "photo") if name in case.body}
                if case.query and "photo" in case.query:
                    case.query["photo"] = photo
            if isinstance(case.body, dict) and case.body.get("probes"):
                case.body["probes"] = 32
            answer = case.call(base_url=served.base, headers={"X-Camscope-Token": served.session.token})
            assert answer.status_code < 500, (case.as_curl_command(), answer.text)
            if answer.status_code >= 400:
                assert set(answer.json()) == {"error", "kind"}

        ask()
    assert served.client.get("/api/state").status_code == 200
