"""The Dagster home of a state folder."""

from pathlib import Path

import yaml

from deploy import dagster_home


def test_every_folder_of_the_home_lies_in_the_state_folder(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\n"
        "storage: {sqlite: {base_dir: var/dagster}}\n"
        "compute_logs: {config: {base_dir: var/dagster/compute_logs}}\n"
    )
    home = dagster_home.write(tmp_path / "dagster.yaml", tmp_path / "state")
    written = yaml.safe_load((home / "dagster.yaml").read_text())
    assert home == tmp_path / "state" / "dagster"
    assert written["telemetry"] == {"enabled": False}
    assert written["storage"]["sqlite"]["base_dir"] == str(home)
    assert written["compute_logs"]["config"]["base_dir"] == str(home / "compute_logs")
