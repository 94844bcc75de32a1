"""Places on object storage: what a URL and the settings say, and that keys stay out of sight."""

from pathlib import Path

import pytest

from api.settings import Settings
from api.settings import SettingsError as ApiSettingsError
from pipelines import settings
from warehouse.object_store import Location, is_object_url, location, location_of_driver

AZURE = {"AZURE_STORAGE_ACCOUNT_NAME": "site", "AZURE_STORAGE_ACCOUNT_KEY": "aHVzaC1odXNo"}
SOURCE = {
    "OPERATOR": "sandbox",
    "EC_API_BASE_URL": "http://127.0.0.1:1/ec/",
    "EC_API_CLIENT_ID": "id",
    "EC_API_CLIENT_SECRET": "hush",
    "EC_API_TOKEN_URL": "http://127.0.0.1:1/token",
}


def test_location_when_named_then_container_prefix_and_options_are_the_drivers() -> None:
    place = location("az://lake/site/a/", AZURE | {"AWS_REGION": "x"})
    assert (place.scheme, place.container, place.prefix) == ("az", "lake", "site/a")
    assert place.options == {"azure_storage_account_name": "site", "azure_storage_account_key": "aHVzaC1odXNo"}
    assert place.child("_releases").url == "az://lake/site/a/_releases"
    assert "allow_http" not in place.polars_options()


def test_location_when_shown_then_without_keys() -> None:
    place = location("az://lake", AZURE | {"AZURE_STORAGE_SAS_TOKEN": "?sv=1&sig=secret"})
    assert place.options["azure_storage_sas_token"] == "sv=1&sig=secret"
    assert "aHVzaC1odXNo" not in f"{place!r}{place}" and "secret" not in f"{place!r}{place}"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_location_when_the_endpoint_is_plain_then_only_that_allows_http(scheme: str) -> None:
    place = location("s3://bucket/x", {"AWS_ENDPOINT_URL": f"{scheme}://127.0.0.1:9000"})
    assert place.allows_http is (scheme == "http")


@pytest.mark.parametrize(
    ("url", "given", "match"),
    [
        ("gs://lake/x", AZURE, "not known"),
        ("az:///x", AZURE, "names no container"),
        ("s3://Bucket", {}, "names no bucket"),
        ("az://lake/x?sig=1", AZURE, "names no container"),
        ("az://lake/x", {}, "AZURE_STORAGE_ACCOUNT_NAME"),
        ("s3://bucket/x", {"AWS_ACCESS_KEY_ID": "k"}, "together"),
    ],
)
def test_location_when_it_cannot_be_used_then_says_what_to_write(url: str, given: dict[str, str], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        location(url, given)


def test_is_object_url_when_a_path_or_a_file_url_then_no() -> None:
    assert [is_object_url(text) for text in ("var/lake", "file:///var/lake", "az://lake", "")] == [
        False,
        False,
        True,
        False,
    ]
    assert location_of_driver("az://lake/x").options == {}


def test_settings_when_the_lake_is_on_object_storage_then_both_read_it_alike() -> None:
    environment = SOURCE | AZURE | {"LAKE_URL": "az://lake/site"}
    loaded = settings.load(environment)
    served = Settings.from_environment({"LAKE_URL": "az://lake/site", "STORAGE_POLL_SECONDS": "3", **AZURE})
    assert loaded.lake == served.lake == Location("az://lake/site", served.lake.options if served.lake else {})
    assert served.storage_poll_seconds == 3.0
    assert "aHVzaC1odXNo" not in f"{loaded!r}{served!r}"


def test_settings_when_the_lake_is_a_folder_then_the_api_leaves_it_to_the_pipelines() -> None:
    assert settings.load(SOURCE | {"LAKE_URL": "file:///data/lake"}).lake == Path("/data/lake")
    assert Settings.from_environment({"LAKE_URL": "/data/lake"}).lake is None


def test_settings_when_the_storage_is_half_set_then_a_fault_names_what_is_missing() -> None:
    with pytest.raises(settings.SettingsError, match=r"LAKE_URL='az://lake/x': needs AZURE_STORAGE_ACCOUNT_NAME"):
        settings.load(SOURCE | {"LAKE_URL": "az://lake/x"})
    with pytest.raises(ApiSettingsError, match="AZURE_STORAGE_ACCOUNT_NAME"):
        Settings.from_environment({"LAKE_URL": "az://lake/x"})
    for load in (lambda e: settings.load(SOURCE | e), Settings.from_environment):
        with pytest.raises(ValueError, match="LAKE_URL") as caught:
            load({"LAKE_URL": "az://lake/x?sig=hush", **AZURE})
        assert "hush" not in str(caught.value)
