"""A dataset looked at from all sides once it is written: statistics, expectations, and the page that shows both."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.manifest import Manifest
from resources import dataset_page, expectations
from resources.dataset_statistics import statistics
from resources.expectations import Outcome


@dataclass(frozen=True)
class Description:
    """Numbers and categories only; `page` lies in the reports folder of the version."""

    statistics: Mapping[str, Any]
    outcomes: tuple[Outcome, ...]
    page: Path


def describe(
    dataset: Path, manifest: Manifest, reasons: Mapping[str, int], reports: Path, max_tokens: int
) -> Description:
    """Measure, check, and write the page into `reports`."""
    found = statistics(dataset, manifest.version, manifest.counts)
    outcomes = tuple(expectations.run(dataset, manifest, max_tokens))
    return Description(found, outcomes, dataset_page.write(reports, found, reasons, outcomes))
