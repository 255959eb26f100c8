"""A Redis Cluster whose servers die and whose slots move: gateways find who serves their limits, without a restart."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import count

import pytest
import redis as redis_py
import servers
from contract.test_redis_lost import Gateway, all_that_pass, until, whole
from redis.crc import key_slot

from jupyter_server_ext.app.assembly import open_answers
from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.pipeline import AnswerCache
from jupyter_server_ext.pipeline.cache import Cached
from jupyter_server_ext.redis import RedisCoordinator

pytestmark = pytest.mark.usefixtures("programs")

_prefixes = count()


@asynccontextmanager
async def gateways(url, prefix, number=2):
    made = [Gateway(f"{url}?prefix={prefix}") for _ in range(number)]
    try:
        for one in made:
            await one.link.start()
        await until(lambda: all(one.link.state == "ok" and one.link.instances == number for one in made))
        yield made
    finally:
        for one in made:
            await one.link.close()


def admin(node):
    return redis_py.Redis(port=node.port, password=servers.PASSWORD)


def owner_of(nodes, slot):
    """The server of a slot, if each has as many."""
    return nodes[next(n for n in range(3) if slot < (n + 1) * 16384 // 3)]


def move(slot, source, target, others):
    """What redis-cli's ``--cluster reshard`` does for one slot."""
    ids = {node: admin(node).execute_command("CLUSTER MYID").decode() for node in (source, target)}
    admin(target).execute_command(f"CLUSTER SETSLOT {slot} IMPORTING {ids[source]}")
    admin(source).execute_command(f"CLUSTER SETSLOT {slot} MIGRATING {ids[target]}")
    while keys := admin(source).execute_command(f"CLUSTER GETKEYSINSLOT {slot} 100"):
        auth = ("AUTH", servers.PASSWORD, "KEYS")
        admin(source).execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, *auth, *keys)
    for node in (target, source, *others):
        admin(node).execute_command(f"CLUSTER SETSLOT {slot} NODE {ids[target]}")


def test_a_dead_server_is_replaced_by_its_replica_and_limits_hold():
    async def scenario():
        with servers.redis_cluster(3, 3) as nodes:
            prefix = f"f{next(_prefixes)}"
            master = owner_of(nodes, key_slot(f"{{{prefix}}}".encode()))
            async with gateways(master.url, prefix) as made:
                for number in range(8):
                    assert await made[number % 2].ask()
                master.process.kill()
                assert await all_that_pass(made) in {20, 21, 22}
                assert {one.link.health for one in made} == {"degraded"}
                await whole(made)
                assert not await made[0].ask()
                assert {admin(node).info("replication")["role"] for node in nodes if node is not master} == {
                    "master",
                    "slave",
                }

    asyncio.run(scenario())


def test_a_slot_that_moves_is_followed(redis_cluster):
    async def scenario():
        nodes = [
            servers.Server("", int(host.rpartition(":")[2]), redis_cluster.folder, redis_cluster.process)
            for host in redis_cluster.url.rpartition("@")[2].split(",")
        ]
        prefix = f"m{next(_prefixes)}"
        slot = key_slot(f"{{{prefix}}}".encode())
        source = owner_of(nodes, slot)
        target, other = [node for node in nodes if node is not source]
        async with gateways(redis_cluster.url, prefix) as made:
            for number in range(8):
                assert await made[number % 2].ask()
            await asyncio.to_thread(move, slot, source, target, [other])
            passed = await all_that_pass(made)
            assert passed in {20, 21, 22}
            await whole(made)
            assert not await made[0].ask()
            assert admin(target).execute_command(f"CLUSTER COUNTKEYSINSLOT {slot}") > 0
            assert await made[0].link.delete(f"{made[0].link.prefix}m:*/minute", lambda _: True) == {
                f"{{{prefix}}}:m:caller:ada/requests/minute"
            }

    asyncio.run(scenario())


def test_answers_are_spread_over_all_servers(redis_cluster):
    async def scenario():
        url = f"{redis_cluster.url}?prefix=c{next(_prefixes)}&max_mb=1"
        here, there = (AnswerCache(1_000_000, 60.0, clock=lambda: 0.0, behind=open_answers(url)) for _ in range(2))
        while await there.find("first") is None:  # until both know the Cluster
            await here.keep("first", Cached(b"{}", 0))
            here.behind._away_until = there.behind._away_until = 0.0
        for number in range(30):
            await here.keep(f"k{number}", Cached(b"{}", number))
        assert [await there.find(f"k{number}") for number in range(31)] == [
            *(Cached(b"{}", number) for number in range(30)),
            None,
        ]
        for cache in (here, there):
            await cache.close()

    asyncio.run(scenario())


def test_a_cluster_that_is_not_there_is_as_a_lost_redis():
    async def scenario():
        one = Gateway(f"redis+cluster://127.0.0.1:{servers.free_port()}")
        assert await all_that_pass([one]) == 10
        assert one.link.health == "degraded"
        await one.link.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "url", ["redis+cluster://a:b:c", "redis+cluster://a:1?colour=red", "redis+sentinel://a/m?db=x"]
)
def test_a_url_that_means_nothing_is_refused(url):
    with pytest.raises(ConfigError, match="not usable"):
        RedisCoordinator(url)
