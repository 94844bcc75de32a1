"""Reference folders: loaded whole, every fault named with file, line and column."""

import shutil
from pathlib import Path

import pytest

from pipelines import site as sites
from pipelines.site_settings import SOURCES

SANDBOX = sites.REFERENCE / "sandbox"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "operator"
    shutil.copytree(SANDBOX, target, ignore=shutil.ignore_patterns("data"))
    return target


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize("operator", ["sandbox", "dst", "volve", "volve-absent-down"])
def test_load_when_a_shipped_folder_is_read_then_it_has_no_fault(operator: str) -> None:
    site = sites.load(operator)
    assert site.facilities.height >= 1
    assert set(site.sources) <= set(SOURCES)


def test_load_when_the_sandbox_is_read_then_it_has_fourteen_facilities() -> None:
    site = sites.load("sandbox")
    assert site.facilities["facility_id"].n_unique() == 14
    assert site.is_synthetic
    assert not site.is_replay


def test_load_when_volve_variants_differ_then_only_in_absent_days() -> None:
    plain, down = sites.load("volve"), sites.load("volve-absent-down")
    assert (plain.absent_days, down.absent_days) == ("unknown", "down")
    assert plain.is_replay
    assert plain.data_folder == down.data_folder
    assert plain.facilities.equals(down.facilities)
    assert plain.wells.equals(down.wells)


def test_load_when_given_a_path_then_reads_that_folder(folder: Path) -> None:
    assert sites.load(str(folder)).folder == folder.resolve()


def test_load_when_unknown_then_names_the_operators_there_are() -> None:
    with pytest.raises(sites.SiteError, match=r"sandbox.*volve"):
        sites.load("atlantis")


def test_load_when_several_faults_then_lists_all_with_their_places(folder: Path) -> None:
    _replace(folder / "facilities.csv", "flowstation", "flow-station")
    _replace(folder / "assets.csv", "asset_id,name", "asset_id,title")
    _replace(folder / "operator.toml", 'zone = "Africa/Lagos"', 'zone = "Africa/Lagoon"')
    with pytest.raises(sites.SiteError) as caught:
        sites.load(str(folder))
    message = str(caught.value)
    assert "facilities.csv:2, column facility_type: 'flow-station' is not one of flowstation" in message
    assert "assets.csv:1, column title: unknown column" in message
    assert "'Africa/Lagoon' is no time zone" in message


def test_load_when_a_reference_points_nowhere_then_names_file_line_and_column(folder: Path) -> None:
    lines = (folder / "facility_networks.csv").read_text(encoding="utf-8").splitlines()
    lines.append("fs-nowhere,oil,true,true")
    (folder / "facility_networks.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(sites.SiteError, match=rf"facility_networks.csv:{len(lines)}, column facility_id: 'fs-nowhere'"):
        sites.load(str(folder))


def test_load_when_a_key_stands_twice_then_names_both_lines(folder: Path) -> None:
    lines = (folder / "assets.csv").read_text(encoding="utf-8").splitlines()
    (folder / "assets.csv").write_text("\n".join([*lines, lines[1]]) + "\n", encoding="utf-8")
    with pytest.raises(sites.SiteError, match=r"assets.csv:\d+, column asset_id: key .* stands already in line 2"):
        sites.load(str(folder))


def test_load_when_a_word_is_misspelt_then_names_what_is_allowed(folder: Path) -> None:
    _replace(folder / "streams.csv", ",production,", ",prodution,")
    _replace(folder / "tags.csv", ",flare_rate,", ",flaring,")
    with pytest.raises(sites.SiteError) as caught:
        sites.load(str(folder))
    message = str(caught.value)
    assert "column role: 'prodution' is not one of production, throughput" in message
    assert "column measurement: 'flaring' is not one of rate, flare_rate" in message


def test_load_when_one_id_names_two_nodes_then_refuses(folder: Path) -> None:
    with (folder / "hubs.csv").open("a", encoding="utf-8") as hubs:
        hubs.write("fs-bomiri,Bomiri again,east\n")
    with pytest.raises(sites.SiteError, match="'fs-bomiri' is also a"):
        sites.load(str(folder))


def test_load_when_the_settings_are_misspelt_or_of_another_kind_then_each_is_named(folder: Path) -> None:
    file = folder / "operator.toml"
    _replace(file, "is_synthetic = true", 'is_synthetic = "no"\nabsent_day = "down"')
    _replace(file, "sla_hours = 30", 'sla_hours = "30 h"')
    _replace(file, "sla_hours = 2\n", "sla_hour = 2\n")
    _replace(file, "sla_hours = 168", "sla_hours = -1")
    _replace(file, "seed = 20261122", "sead = 1")
    file.write_text(file.read_text() + '\n[units]\nscf_per_tj = "1e6"\n')
    with pytest.raises(sites.SiteError) as error:
        sites.load(str(folder))
    said = str(error.value)
    for place in (
        "is_synthetic",
        "absent_day",
        "sources.energy_components.sla_hours",
        "sources.pi",
        "sources.sharepoint.sla_hours",
        "simulator",
        "units",
    ):
        assert f"operator.toml, column {place}" in said
    assert "has 7 fault(s)" in said
    assert "known are operator, title" in said


@pytest.mark.parametrize(
    ("instead", "column"),
    [
        ("sla_hours = -1", "sources.energy_components.sla_hours"),
        ('sla_hours = "30"', "sources.energy_components.sla_hours"),
        ("sla_hour = 30", "sources.energy_components"),
    ],
)
def test_load_when_a_sources_terms_cannot_be_used_then_the_fault_names_the_source(
    folder: Path, instead: str, column: str
) -> None:
    _replace(folder / "operator.toml", "sla_hours = 30", instead)
    with pytest.raises(sites.SiteError) as error:
        sites.load(str(folder))
    assert f"operator.toml, column {column}: " in str(error.value)
