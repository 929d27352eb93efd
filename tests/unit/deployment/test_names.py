"""Names that AWS would refuse half-way are refused before anything is made."""

from __future__ import annotations

import pytest

from stepml.deployment.artefacts import Place
from stepml.deployment.components import Plan, template_of
from stepml.deployment.names import longest_stack_name, problems, user_problems

PLACE = Place("123456789012", "ap-northeast-1")


@pytest.mark.parametrize("name", ["stepml", "my-stepml2", "s2"])
def test_names_that_all_services_take(name: str) -> None:
    assert [*problems(name, PLACE)] == []


@pytest.mark.parametrize("name", ["Stepml", "step_ml", "2stepml", "stepml-", "s--ml", "s.ml", ""])
def test_names_that_become_no_bucket_are_refused(name: str) -> None:
    (problem,) = problems(name, PLACE)
    assert problem.endswith(f"got {name!r}")


def test_the_longest_name_fits_and_a_longer_one_is_refused() -> None:
    longest = longest_stack_name(PLACE)
    assert [*problems("s" * longest, PLACE)] == []
    (problem,) = problems("s" * (longest + 1), PLACE)
    assert f"at most {longest} characters in ap-northeast-1" in problem


def test_the_name_of_redis_user_fits() -> None:
    none, redis = frozenset[str](), frozenset({"redis"})
    user = "${AWS::StackName}-functions"  # at most 40 characters
    assert f'UserId: !Sub "{user}"' in template_of("cache").read_text()
    assert len(user.replace("${AWS::StackName}", f"{'s' * 24}-cache")) == 40
    assert [*user_problems("s" * 24, Plan(none, redis))] == []
    (problem,) = user_problems("s" * 25, Plan(none, redis))
    assert problem.startswith("--stack: expected at most 24 characters with redis")
    assert [*user_problems("s" * 25, Plan(none, none))] == []
