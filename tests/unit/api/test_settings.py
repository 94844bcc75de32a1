"""Settings of the API."""

from pathlib import Path
from typing import Any

import pytest

from api.limits import Rate
from api.settings import Settings, SettingsError, bound_operator

# What the process allows a caller; an application made by hand allows anything.
RATES: Any = {"rate_limit": Rate("default", 6000, 60), "rate_limit_exports": Rate("exports", 60, 60)}


def test_settings_without_environment_then_defaults() -> None:
    assert Settings.from_environment({}) == Settings(**RATES)
    assert Settings.from_environment({"PORT": " ", "OPERATOR": ""}) == Settings(**RATES)


def test_settings_from_environment_then_every_name_is_read(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        {
            "HOST": "127.0.0.2",
            "PORT": "9000",
            "CORS_ALLOWED_ORIGINS": "https://a.example/, http://b.example:5173",
            "LOG_LEVEL": "warning",
            "WAREHOUSE_DIR": str(tmp_path),
            "DEFAULT_UNITS": "display",
            "OPERATOR": "acme",
            "RELEASE_POLL_SECONDS": "0.5",
            "CACHE_MAX_MIB": "2",
            "QUERY_THREADS": "3",
        }
    )
    assert settings == Settings(
        host="127.0.0.2",
        port=9000,
        cors_allowed_origins=("https://a.example", "http://b.example:5173"),
        log_level="WARNING",
        warehouse_dir=tmp_path,
        default_units="display",
        operator="acme",
        release_poll_seconds=0.5,
        cache_bytes=2 * 1024 * 1024,
        query_threads=3,
        **RATES,
    )


def test_settings_when_several_are_faulty_then_all_are_named_at_once(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(
            {
                "PORT": "99999",
                "LOG_LEVEL": "loud",
                "DEFAULT_UNITS": "metric",
                "CORS_ALLOWED_ORIGINS": "spa.example",
                "WAREHOUSE_DIR": str(file),
                "RELEASE_POLL_SECONDS": "nan",
                "OPERATOR": str(tmp_path / "absent"),
            }
        )
    names = [fault.split("=")[0] for fault in caught.value.faults]
    assert sorted(names) == sorted(
        [
            "PORT",
            "LOG_LEVEL",
            "DEFAULT_UNITS",
            "CORS_ALLOWED_ORIGINS",
            "WAREHOUSE_DIR",
            "RELEASE_POLL_SECONDS",
            "OPERATOR",
        ]
    )
    assert all(name in str(caught.value) for name in names)


def test_bound_operator_when_given_a_folder_then_the_name_in_its_file(tmp_path: Path) -> None:
    (tmp_path / "operator.toml").write_text('operator = "north"\n')
    assert bound_operator(str(tmp_path)) == "north"
    (tmp_path / "operator.toml").write_text('title = "North"\n')
    with pytest.raises(ValueError, match="does not name its operator"):
        bound_operator(str(tmp_path))


def test_bound_operator_when_given_an_unknown_name_then_that_name() -> None:
    assert bound_operator("somebody") == "somebody"
