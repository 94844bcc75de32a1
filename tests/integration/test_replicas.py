"""Three API processes with copies of their own behind a round-robin client; one is killed, one is cut off from the storage.

How many seconds they take is measured by `make bench-healing`; here they only have to get there.
"""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.azurite import Azurite, azurite
from tests.integration.replicas import Client, publisher, replicas, until


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with azurite(tmp_path_factory.mktemp("azurite") / "log") as running:
        yield running


@pytest.fixture
def publish(storage: Azurite, tmp_path: Path) -> tuple[str, Callable[[int], str]]:
    """The lake's address, and a function that publishes a marked release on it."""
    url = storage.lake_url()
    return url, publisher(storage, url, tmp_path / "publisher")


@pytest.mark.timeout(240)
def test_replicas_when_one_is_killed_and_one_is_cut_off_then_no_request_fails_and_all_follow_after_healing(
    storage: Azurite, publish: tuple[str, Callable[[int], str]], tmp_path: Path
) -> None:
    url, published = publish
    first = published(0)
    with replicas(storage, url, tmp_path, 3) as (steady, cut, killed):
        client = Client([steady, cut, killed])
        with client.sending():
            client.wait_for(30)
            second = published(1)
            for replica in (steady, cut, killed):
                until(lambda replica=replica: replica.served() == second, replica)
            killed.end()
            cut.proxy.cut()
            client.wait_for(30)
            third = published(2)
            until(lambda: steady.served() == third, steady)
            # Cut off, it goes on with what it has, stays ready, and says what is wrong.
            until(lambda: cut.ask("/api/v1/data-releases")[1]["fault"] is not None, cut)
            status, body = cut.ask("/readyz")
            assert (status, body["dataVersion"]) == (200, second)
            assert url in body["fault"]
            assert cut.ask("/api/v1/data-releases")[1]["inForce"]["releaseId"] == second
            client.wait_for(30)
            cut.proxy.heal()
            until(lambda: cut.served() == third, cut)
            killed.start()
            until(lambda: killed.served() is not None, killed)
            until(lambda: killed.served() == third, killed)
            client.wait_for(30)
        assert client.failed == []
        assert client.passed_on > 0  # the killed one was asked, and another answered
        assert [replica.served() for replica in (steady, cut, killed)] == [third] * 3
        until(lambda: cut.ask("/readyz")[1]["fault"] is None, cut)
        assert cut.log().count("storage not followed") == 1  # told once, however often it was asked
        # An older release is copied by the replica that is asked for it.
        status, body = killed.ask(f"/api/v1/summary?release={first}")
        assert (status, body["dataVersion"]) == (200, first)


@pytest.mark.timeout(240)
@pytest.mark.slow
def test_replica_when_it_starts_without_the_storage_or_with_a_damaged_copy_then_it_serves_and_mends_itself(
    storage: Azurite, publish: tuple[str, Callable[[int], str]], tmp_path: Path
) -> None:
    url, published = publish
    first = published(0)
    with replicas(storage, url, tmp_path, 1) as (replica,):
        replica.end(signal.SIGTERM)
        replica.proxy.cut()
        second = published(1)
        replica.start()
        until(lambda: replica.served() is not None, replica)
        assert replica.served() == first  # its copy needs no storage
        replica.proxy.heal()
        until(lambda: replica.served() == second, replica)
        replica.end(signal.SIGTERM)
        path = replica.folder / "releases" / second / "warehouse.duckdb"
        whole = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
        replica.start()
        until(lambda: replica.served() == second, replica)
        assert path.read_bytes() == whole  # fetched again
