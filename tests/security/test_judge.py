"""The suite itself: nothing passes because nothing happened, and every program is one that Python can read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.security.attempt import FLATTENED, Attempt, Evidence, Usage, how_stopped, judge
from tests.security.attempts import ATTEMPTS
from tests.security.run import document_of

ATTEMPT = Attempt("theme", "name", "tried('x', 'EPERM')")
GOOD = Evidence(
    outcome=FLATTENED,
    events=({"tried": "x", "got": "EPERM"}, {"done": True}),
    usage=Usage(),
    seen=5,
    left=(),
    leaked=(),
    output_bytes=100,
    host_growth=0,
    seconds=1.0,
)
WORDS = {"TCP_PORT": "1", "DIRECTORIES": "1", "FILES": "1", "UDP_PORT": "1", "HOST_PID": "1", "HOST_USER": "0"}


def test_a_refused_try_is_contained():
    verdict = judge(ATTEMPT, GOOD)
    assert verdict.faults == ()
    assert verdict.stopped == ("gVisor: EPERM",)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"events": ()}, "nothing was tried"),
        ({"events": ({"done": True},)}, "nothing was tried"),
        ({"events": ({"tried": "x", "got": ""},)}, "did not come to its end"),
        ({"events": (*GOOD.events, {"error": "SyntaxError"})}, "failed to run"),
        ({"events": (*GOOD.events, {"tried": "y", "escaped": "0"})}, "y: worked"),
        ({"outcome": "sandbox_died", "output_bytes": None}, "ended as sandbox_died"),
        ({"output_bytes": None}, "output file"),
        ({"seen": 0}, "was seen from outside"),
        ({"left": ("77 runsc",)}, "outlived its job: 77"),
        ({"leaked": ("secret",)}, "leaked: secret"),
        ({"usage": Usage(favoured=1)}, "better place"),
    ],
)
def test_what_speaks_against_it_is_a_fault(change, fault):
    assert any(fault in one for one in judge(ATTEMPT, replace(GOOD, **change)).faults)


def test_a_fact_that_the_proof_wants_and_that_was_not_told_is_a_fault():
    wants = replace(ATTEMPT, proof=lambda evidence: evidence.facts["mounts"])
    assert any("did not tell 'mounts'" in one for one in judge(wants, GOOD).faults)


def test_how_it_was_stopped_is_what_was_seen():
    killed = replace(
        GOOD, outcome="out_of_memory", usage=Usage(bound=True, killed=1), events=({"tried": "x", "got": ""},)
    )
    assert how_stopped(killed) == ("cgroup: memory",)
    assert how_stopped(replace(killed, outcome="deadline", usage=Usage(processes_refused=3))) == (
        "deadline: killed",
        "cgroup: processes",
    )
    assert how_stopped(replace(GOOD, events=({"tried": "x", "got": "EROFS"},))) == ("read-only root",)


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda one: f"{one.theme}: {one.name}")
def test_each_program_is_one_that_python_reads(attempt):
    for program in filter(None, (attempt.program, attempt.neighbour, attempt.before)):
        text = document_of(replace(attempt, program=program), WORDS).partition(b"\n")[2][: len(program) + 500]
        compile(text.rstrip(b"\0"), attempt.name, "exec")
        assert "tried(" in program or "refused(" in program or "must(" in program
