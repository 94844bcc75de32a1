"""AUTH_MODE and what belongs to it: refused where it is unsafe, and every fault named at once."""

from pathlib import Path

import pytest

from api.auth.environment import Authentication
from api.auth.gate import OpenGate, build_gate
from api.settings import Settings, SettingsError
from tests.unit.api.issuing import CLIENT, TENANT

ROLES = '[roles."Production.Reader"]\nmay = ["read"]\n[scopes."access_as_user"]\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An operator's folder with roles."""
    (tmp_path / "operator.toml").write_text('operator = "north"\n')
    (tmp_path / "assets.csv").write_text("asset_id,name\neast,East\n")
    (tmp_path / "roles.toml").write_text(ROLES)
    return tmp_path


def faults(environment: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(environment)
    return caught.value.faults


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]", "::ffff:127.0.0.1"])
def test_none_on_loopback_then_it_starts(host: str) -> None:
    assert Settings.from_environment({"HOST": host}).authentication == Authentication()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "api.example", "localhost.example", "127.0.0.1.example"])
def test_none_on_another_address_then_refused_unless_allowed(host: str) -> None:
    (fault,) = faults({"HOST": host})
    assert "AUTH_MODE=entra" in fault
    assert "AUTH_NONE_ALLOWED=yes" in fault
    assert faults({"HOST": host, "AUTH_NONE_ALLOWED": "no"})
    assert Settings.from_environment({"HOST": host, "AUTH_NONE_ALLOWED": "yes"}).authentication.none_allowed


@pytest.mark.parametrize("name", ["WEBSITE_SITE_NAME", "WEBSITE_INSTANCE_ID"])
@pytest.mark.parametrize("more", [{}, {"AUTH_NONE_ALLOWED": "yes"}, {"AUTH_MODE": "none", "HOST": "127.0.0.1"}])
def test_none_on_app_service_then_refused_whatever_is_allowed(name: str, more: dict[str, str]) -> None:
    (fault,) = faults({name: "production", **more})
    assert "App Service" in fault


def test_entra_with_its_settings_then_provider_and_policy(folder: Path) -> None:
    settings = Settings.from_environment(
        {
            "AUTH_MODE": "Entra",
            "OPERATOR": str(folder),
            "HOST": "0.0.0.0",
            "WEBSITE_SITE_NAME": "production",
            "AZURE_TENANT_ID": TENANT.upper(),
            "AZURE_CLIENT_ID": CLIENT,
            "AZURE_AUDIENCE": f"api://{CLIENT}",
        }
    )
    provider = settings.authentication.provider
    assert provider is not None
    assert provider.issuer == f"https://login.microsoftonline.com/{TENANT}/v2.0"
    assert provider.discovery_url == f"{provider.issuer}/.well-known/openid-configuration"
    assert provider.audiences == {CLIENT, f"api://{CLIENT}"}
    assert set(settings.authentication.policy.roles) == {"Production.Reader"}
    assert not settings.allow_synthetic


def test_entra_without_its_settings_then_all_are_named_at_once() -> None:
    found = faults({"AUTH_MODE": "entra"})
    assert [fault.split(":")[0] for fault in found] == ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AUTH_ROLES_FILE"]


def test_entra_with_faulty_settings_then_all_are_named_at_once(folder: Path) -> None:
    (folder / "roles.toml").write_text('[roles."A"]\nmay = ["read"]\nassets = ["eats"]\n')
    found = faults(
        {
            "AUTH_MODE": "entra",
            "OPERATOR": str(folder),
            "AZURE_TENANT_ID": "common",
            "AZURE_CLIENT_ID": "contoso.example",
            "AZURE_AUTHORITY": "http://login.example",
            "AUTH_KEYS_COOLDOWN_SECONDS": "0",
            "AUTH_KEYS_REFRESH_SECONDS": "nan",
        }
    )
    names = {fault.split("=")[0].split(":")[0] for fault in found}
    assert names == {
        "AZURE_TENANT_ID",
        "AZURE_CLIENT_ID",
        "AZURE_AUTHORITY",
        "AUTH_KEYS_COOLDOWN_SECONDS",
        "AUTH_KEYS_REFRESH_SECONDS",
        "AUTH_ROLES_FILE",
    }
    assert any("eats" in fault for fault in found)


@pytest.mark.parametrize(
    "value",
    ["http://login.example", "login.example", "https://", "https://u:p@login.example", "https://x/?a=b", "ftp://x"],
)
def test_authority_when_not_safe_then_refused(folder: Path, value: str) -> None:
    given = {"AUTH_MODE": "entra", "OPERATOR": str(folder), "AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT}
    (fault,) = faults({**given, "AZURE_AUTHORITY": value})
    assert "AZURE_AUTHORITY" in fault
    assert Settings.from_environment({**given, "AZURE_AUTHORITY": "http://127.0.0.1:9/"}).authentication.provider


def test_roles_file_when_named_then_it_stands_for_that_of_the_folder(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "others.toml"
    file.write_text('[roles."Other"]\nmay = ["read"]\n')
    given = {"AUTH_MODE": "entra", "AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT, "AUTH_ROLES_FILE": str(file)}
    for more in ({}, {"OPERATOR": str(folder)}, {"OPERATOR": "sandbox"}):
        assert set(Settings.from_environment({**given, **more}).authentication.policy.roles) == {"Other"}


def test_mode_when_unknown_then_refused_and_never_served_open() -> None:
    (fault,) = faults({"AUTH_MODE": "off"})
    assert "none or entra" in fault


def test_gate_when_mode_is_entra_without_a_provider_then_no_open_gate() -> None:
    with pytest.raises(ValueError, match="provider"):
        build_gate(Settings(authentication=Authentication("entra")))
    assert isinstance(build_gate(Settings()), OpenGate)
