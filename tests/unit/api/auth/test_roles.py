"""Roles as data: what they come to, and what is said of a faulty file."""

import re
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.auth.roles import Grant, Policy, Rights, RolesError, load_policy, site_assets
from api.callers import EVERYTHING, MANAGE_RELEASES, READ, Scope

FILE = """
[roles."Production.Reader"]
may = ["read"]
assets = "all"

[roles."Production.Reader.East"]
may = ["read"]
assets = ["east"]

[roles."Production.Reader.West"]
may = ["read"]
assets = ["west"]

[roles."Releases.Manager"]
may = ["read", "manageReleases"]

[roles."Releases.Operator"]
may = ["manageReleases"]

[scopes."access_as_user"]

[scopes."read_only"]
may = ["read"]

[scopes."east_only"]
assets = ["east"]
"""
ASSETS = frozenset({"east", "west"})


def written(folder: Path, text: str) -> Path:
    file = folder / "roles.toml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    return load_policy(written(tmp_path, FILE), ASSETS)


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(RolesError) as caught:
        load_policy(written(folder, text), ASSETS)
    assert str(folder / "roles.toml") in str(caught.value)
    return caught.value.faults


def test_rights_when_one_role_reads_all_then_everything_is_seen(policy: Policy) -> None:
    rights = policy.rights(["Production.Reader", "Unknown"], None)
    assert rights == Rights(frozenset({"Production.Reader"}), frozenset({READ}), EVERYTHING)


def test_rights_when_several_roles_then_the_union(policy: Policy) -> None:
    both = policy.rights(["Production.Reader.East", "Production.Reader.West"], None)
    assert (both.scope, both.permissions) == (Scope(frozenset({"east", "west"})), frozenset({READ}))
    more = policy.rights(["Production.Reader.East", "Releases.Manager"], None)
    assert (more.scope, more.permissions) == (EVERYTHING, frozenset({READ, MANAGE_RELEASES}))


def test_rights_when_a_role_does_not_read_then_it_adds_no_assets(policy: Policy) -> None:
    rights = policy.rights(["Production.Reader.East", "Releases.Operator"], None)
    assert rights.scope == Scope(frozenset({"east"}))
    # and a release, which holds every asset, is not moved by somebody who sees one
    assert rights.permissions == {READ}


@pytest.mark.parametrize("roles", [[], ["Unknown"], ["production.reader"], ["Production.Reader "]])
def test_rights_when_no_role_is_known_then_nothing(policy: Policy, roles: list[str]) -> None:
    assert policy.rights(roles, None) == Rights(frozenset(), frozenset(), Scope(frozenset()))
    assert policy.rights(roles, ["access_as_user"]).permissions == frozenset()


def test_rights_of_a_user_then_the_scope_cuts_what_the_roles_give_and_adds_nothing(policy: Policy) -> None:
    manager = ["Releases.Manager"]
    assert policy.rights(manager, ["access_as_user"]).permissions == {READ, MANAGE_RELEASES}
    assert policy.rights(manager, ["read_only"]).permissions == {READ}
    assert policy.rights(manager, ["unknown"]).permissions == frozenset()
    assert policy.rights(manager, []).permissions == frozenset()
    east = policy.rights(manager, ["east_only"])
    assert (east.permissions, east.scope) == ({READ}, Scope(frozenset({"east"})))
    west = policy.rights(["Production.Reader.West"], ["east_only"])
    assert west.scope == Scope(frozenset())


def test_granting_then_the_roles_that_give_it(policy: Policy) -> None:
    assert policy.granting(MANAGE_RELEASES) == ["Releases.Manager", "Releases.Operator"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("roles = [", "cannot be read"),
        ("", "no role may read"),
        ('[roles."A"]\nmay = ["manageReleases"]', "no role may read"),
        ('[role."A"]\nmay = ["read"]', "role: is no table"),
        ("roles = 7", "roles: must be tables"),
        ("[roles]\nA = 7", 'roles."A": must be a table'),
        ('[roles."A"]', "may: is missing"),
        ('[roles."A"]\nmay = []', "may: must be a list"),
        ('[roles."A"]\nmay = "read"', "may: must be a list"),
        ('[roles."A"]\nmay = ["reed"]', "may: must be a list of read, manageReleases"),
        ('[roles."A"]\nmay = ["read"]\nassets = "east"', "assets: must be"),
        ('[roles."A"]\nmay = ["read"]\nassets = []', "assets: must be"),
        ('[roles."A"]\nmay = ["read"]\nassets = [1]', "assets: must be"),
        ('[roles."A"]\nmay = ["read"]\nassets = ["eats"]', "eats is none of the site's assets: east, west"),
        ('[roles."A"]\nmay = ["read"]\nasset = ["east"]', "asset: is unknown"),
        ('[roles."A"]\nmay = ["read", "manageReleases"]\nassets = ["east"]', "a release holds every asset"),
    ],
)
def test_file_when_faulty_then_refused_and_the_place_is_named(tmp_path: Path, text: str, said: str) -> None:
    assert any(said in fault for fault in faults(tmp_path, text))


def test_file_when_several_faults_then_all_at_once(tmp_path: Path) -> None:
    found = faults(tmp_path, '[roles."A"]\nmay = ["x"]\nassets = 1\nmore = 2\n[scopes."s"]\nmay = 3')
    assert len(found) == 4


def test_file_when_absent_or_no_text_then_said(tmp_path: Path) -> None:
    with pytest.raises(RolesError, match="does not exist"):
        load_policy(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(RolesError, match="cannot be read"):
        load_policy(tmp_path / "bytes.toml")


def test_site_assets_then_those_of_its_file(tmp_path: Path) -> None:
    assert site_assets(tmp_path) is None
    (tmp_path / "assets.csv").write_text("asset_id,name\neast,East\nwest,West\n")
    assert site_assets(tmp_path) == ASSETS


_ASSETS = st.none() | st.frozensets(st.sampled_from("abc"), min_size=1)
_GRANTS = st.builds(Grant, st.frozensets(st.sampled_from([READ, MANAGE_RELEASES]), min_size=1), _ASSETS)
_NAMES = st.frozensets(st.sampled_from("rstu"))


@given(
    roles=st.dictionaries(st.sampled_from("rst"), _GRANTS),
    scopes=st.dictionaries(st.sampled_from("rst"), _GRANTS),
    held=_NAMES,
    asked=st.none() | _NAMES,
)
def test_any_policy_then_no_more_is_given_than_some_role_gives_and_some_scope_lets_through(
    roles: dict[str, Grant], scopes: dict[str, Grant], held: frozenset[str], asked: frozenset[str] | None
) -> None:
    rights = Policy(roles, scopes).rights(held, asked)
    mine = [roles[name] for name in held if name in roles]
    through = None if asked is None else [scopes[name] for name in asked if name in scopes]
    for permission in rights.permissions:
        assert any(permission in grant.may for grant in mine)
        assert through is None or any(permission in grant.may for grant in through)
    for asset, grants in product("abc", (mine, through)):
        if rights.scope.holds(asset) and grants is not None:
            assert any(READ in g.may and (g.assets is None or asset in g.assets) for g in grants)
    assert MANAGE_RELEASES not in rights.permissions or rights.scope == EVERYTHING


def test_example_in_the_documentation_then_it_is_a_policy_of_the_sandbox(tmp_path: Path) -> None:
    root = Path(__file__).parents[4]
    shown = re.search(
        r"```toml\n(.*?)```", (root / "docs" / "authentication.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert shown is not None
    sandbox = site_assets(root / "pipelines" / "reference" / "sandbox")
    assert sandbox is not None
    documented = load_policy(written(tmp_path, shown[1]), sandbox)
    assert documented.granting(MANAGE_RELEASES) == ["Releases.Manager"]
