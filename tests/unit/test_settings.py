"""The pipelines' settings: all faults at once, no secret in them."""

import pytest

from pipelines import settings
from pipelines.sources.config import EcOracleConfig, EcRestConfig

EC_REST = {
    "EC_API_BASE_URL": "http://127.0.0.1:1/ec/",
    "EC_API_CLIENT_ID": "id",
    "EC_API_CLIENT_SECRET": "hush-hush",
    "EC_API_TOKEN_URL": "http://127.0.0.1:1/token",
}
EC_ORACLE = {"EC_DB_HOST": "h", "EC_DB_SERVICE_NAME": "s", "EC_DB_USER": "u", "EC_DB_PASSWORD": "hush-hush"}


def test_load_when_one_source_is_set_then_only_that_is_used() -> None:
    loaded = settings.load({"OPERATOR": "sandbox", **EC_REST})
    assert loaded.configured_sources == ("energy_components",)
    assert isinstance(loaded.energy_components, EcRestConfig)
    assert loaded.energy_components.base_url == "http://127.0.0.1:1/ec"
    assert loaded.history_days == 200


def test_load_when_oracle_is_set_then_reads_over_oracle() -> None:
    loaded = settings.load({"OPERATOR": "sandbox", **EC_ORACLE, "EC_DB_PORT": "1599"})
    assert isinstance(loaded.energy_components, EcOracleConfig)
    assert loaded.energy_components.port == 1599


def test_load_when_nothing_is_set_then_names_operator_and_sources() -> None:
    with pytest.raises(settings.SettingsError) as caught:
        settings.load({})
    assert "OPERATOR is not set" in str(caught.value)
    with pytest.raises(settings.SettingsError, match=r"no source is configured.*make demo"):
        settings.load({"OPERATOR": "sandbox"})


def test_load_when_sources_are_half_set_then_lists_everything_missing_at_once() -> None:
    with pytest.raises(settings.SettingsError) as caught:
        settings.load(
            {
                "OPERATOR": "sandbox",
                "EC_DB_HOST": "h",
                "PI_BASE_URL": "http://pi",
                "SP_TENANT_ID": "t",
                "SP_CLIENT_SECRET": "hush-hush",
                "REFRESH_CRON_ASSET": "hourly",
                "HISTORY_DAYS": "many",
            }
        )
    message = str(caught.value)
    for name in ("EC_DB_SERVICE_NAME", "EC_DB_PASSWORD", "PI_USERNAME", "PI_PASSWORD", "SP_CLIENT_ID", "SP_SITE_ID"):
        assert name in message
    assert "REFRESH_CRON_ASSET" in message
    assert "HISTORY_DAYS='many' is no number" in message
    assert "hush-hush" not in message


def test_load_when_both_ways_to_ec_are_set_then_refuses() -> None:
    with pytest.raises(settings.SettingsError, match="set twice"):
        settings.load({"OPERATOR": "sandbox", **EC_REST, **EC_ORACLE})


def test_load_when_an_instant_has_no_offset_then_refuses() -> None:
    with pytest.raises(settings.SettingsError, match=r"AS_OF.*needs its offset"):
        settings.load({"OPERATOR": "sandbox", **EC_REST, "AS_OF": "2013-01-01T00:00:00"})


def test_settings_when_printed_then_no_secret_shows() -> None:
    loaded = settings.load(
        {
            "OPERATOR": "sandbox",
            **EC_REST,
            "DATABASE_URL": "postgresql://u:hush-hush@h/d",
            "PI_BASE_URL": "http://pi",
            "PI_USERNAME": "u",
            "PI_PASSWORD": "hush-hush",
        }
    )
    assert "hush-hush" not in repr(loaded)
    assert "hush-hush" not in f"{loaded}"
