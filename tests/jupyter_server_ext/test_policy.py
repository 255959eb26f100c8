"""What an administrator decided about a group, applied to its requests."""

from __future__ import annotations

import pytest

from jupyter_server_ext.config import Settings, TenantSettings
from jupyter_server_ext.errors import ModelNotServed
from jupyter_server_ext.identity import Policy
from jupyter_server_ext.messages import Caller, ChatRequest

ADA = Caller("ada", tenant="stats101")
BOB = Caller("bob")
HINTS = "Give hints, not solutions."


def policy(**rules) -> Policy:
    return Policy(
        Settings(
            tenants=(TenantSettings("stats101", **rules),),
            fallbacks=(("llama", ("gpt", "qwen")),),
        )
    )


def request(*messages, model="llama") -> ChatRequest:
    return ChatRequest(model, {"messages": list(messages), "temperature": 0})


def test_a_model_outside_the_tenants_list_does_not_exist_for_it():
    rules = policy(models=("llama",))

    with pytest.raises(ModelNotServed, match="no model 'gpt' for you") as error:
        rules.apply(ADA, request(model="gpt"))
    assert (error.value.status, error.value.param) == (404, "model")
    assert rules.apply(BOB, request(model="gpt")) == request(model="gpt")
    assert rules.models(ADA, ["gpt", "llama"]) == ["llama"]
    assert rules.models(BOB, ["gpt", "llama"]) == ["gpt", "llama"]


def test_the_system_prompt_comes_before_everything():
    question = {"role": "user", "content": "?"}
    before = request(question)

    after = policy(system_prompt=HINTS).apply(ADA, before)

    assert after.body["messages"] == [{"role": "system", "content": HINTS}, question]
    assert after.body["temperature"] == 0
    assert before.body["messages"] == [question]


def test_the_system_prompt_joins_the_callers_own():
    own = {"role": "system", "content": "Be brief.", "name": "x"}

    after = policy(system_prompt=HINTS).apply(ADA, request(own, {"role": "user", "content": "?"}))

    assert after.body["messages"][0] == {"role": "system", "content": f"{HINTS}\n\nBe brief.", "name": "x"}
    assert len(after.body["messages"]) == 2


def test_a_system_message_in_parts_is_left_as_it_is():
    own = {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}

    assert policy(system_prompt=HINTS).apply(ADA, request(own)).body["messages"][1] == own


def test_other_models_answer_only_where_the_tenant_agreed():
    assert policy().fallbacks(ADA, "llama") == ()
    assert policy(fallbacks=True).fallbacks(ADA, "llama") == ("gpt", "qwen")
    assert policy(fallbacks=True, models=("llama", "qwen")).fallbacks(ADA, "llama") == ("qwen",)
    assert policy(fallbacks=True).fallbacks(ADA, "gpt") == ()


def test_weight_and_privacy_floor_are_the_tenants():
    rules = policy(weight=2.5, privacy_floor="names")

    assert (rules.of(ADA).weight, rules.of(ADA).privacy_floor) == (2.5, "names")
    assert (rules.of(BOB).weight, rules.of(BOB).privacy_floor) == (1.0, "")
