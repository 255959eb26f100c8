"""Status and usage in words: what there is nothing to say of has no row, and nothing that is told is lost."""

from __future__ import annotations

import pytest

from rsql_magic.reports import in_words, limit_rows, money, of, queue, status_rows

NEW_GATEWAY = {
    "keys": {"ready": 1, "cooling": 0, "exhausted": 0, "paused": 0, "retired": 0},
    "queue": {"length": 0, "expected_wait_seconds": 0.0},
    "models": ["offline"],
    "checks": {"ledger": "ok"},
    "cache": {
        "answers": 0,
        "bytes": 0,
        "hit": 0,
        "miss": 0,
        "shared": 0,
        "bypass": 0,
        "hit_rate": None,
        "saved_usd": 0,
    },
    "default_model": "offline",
    "privacy_floor": "",
}


def test_a_quiet_gateway_is_told_in_four_rows():
    assert status_rows(NEW_GATEWAY) == [
        ("keys", "1 ready"),
        ("queue", "nobody waits"),
        ("models", "offline"),
        ("ledger", "ok"),
    ]


def test_a_busy_one():
    busy = NEW_GATEWAY | {
        "keys": {"ready": 2, "cooling": 1},
        "queue": {"length": 1200, "expected_wait_seconds": 61.7},
        "models": ["llama", "qwen"],
        "default_model": "qwen",
        "cache": {"answers": 3, "hit": 4, "shared": 1, "miss": 15, "saved_usd": 1.5},
        "privacy_floor": "stats",
    }
    assert status_rows(busy) == [
        ("keys", "2 ready, 1 cooling"),
        ("queue", "1,200 waiting, about 62 s"),
        ("models", "llama, qwen (default)"),
        ("ledger", "ok"),
        ("cache", "3 answers, 5 of 20 requests had theirs from it, $1.50 saved"),
        ("leaves the kernel at most", "stats"),
    ]


def test_usage_with_everything():
    told = {
        "caller": "ada",
        "tenant": "stats101",
        "limits": {"minute": {"current": 2, "limit": 10}, "hour": {"current": None, "limit": None}},
        "shared_limits": {"day": {"current": 40, "limit": 500}},
        "tokens": {"day": {"current": 1200, "limit": None}},
        "concurrency": {"current": 0, "limit": 5},
        "cost": {"today": 0.0021, "limit": 5.0},
        "shared_cost": {"usd_per_month": {"current": 12.5, "limit": 60.0, "remaining": 47.5}},
        "cache": {"requests": 9, "hits": 3, "saved_usd": 0.25},
        "system_prompt": "Be brief.",
        "key": {"id": "vk-1", "limits": {"usd_per_day": {"current": 0.5, "limit": 1.0}}},
    }
    assert limit_rows(told) == [
        ("you", "ada in stats101"),
        ("requests this minute", "2 of 10"),
        ("requests this day, with others", "40 of 500"),
        ("tokens this day", "1,200"),
        ("requests under way", "0 of 5"),
        ("money today", "$0.0021 of $5.00"),
        ("money this month, with others", "$12.50 of $60.00"),
        ("from the cache today", "3 of 9 requests, $0.25 saved"),
        ("your group's instructions", "Be brief."),
        ("key id", "vk-1"),
        ("key limits usd per day", "0.50 of 1.00"),
    ]


@pytest.mark.parametrize("rows", [status_rows, limit_rows])
def test_what_is_told_beside_it_comes_last(rows):
    assert rows({"moon": {"phase": "full"}, "stars": ["Vega", {"name": "Sun", "planets": 8}], "seen": True}) == [
        ("moon phase", "full"),
        ("stars", "Vega, Sun (planets 8)"),
        ("seen", "yes"),
    ]


def test_what_is_not_known_is_left_out():
    assert status_rows({"note": "no gateway"}) == [("note", "no gateway")]
    assert (in_words({"ready": 0}), queue({}), of({}), money({"today": None})) == ("none", "nobody waits", "", "")
