"""The store's conversations in one file for another tool: `python -m deploy.export FORMAT FILE`."""

import argparse
import sys
from collections import Counter
from pathlib import Path

from core.axolotl import WITH_CONFIG, axolotl_config
from core.formats import EXPORT_FORMATS, ExportFormat
from resources.conversation_exports import exports
from resources.folders import write_whole
from resources.line_writer import LineWriter
from resources.preflight import EXIT_STATUS
from resources.recognisers import RecogniserMissing, recogniser
from resources.settings import Settings, SettingsError, read_settings
from resources.store import open_store
from resources.store_errors import StoreError


class ExportFailed(ValueError):
    """An export that cannot be written; the message says why."""


def export_to(settings: Settings, format: ExportFormat, file: Path) -> list[str]:
    """Writes JSON Lines, readable by their owner alone, and a config beside where the format has one; what to tell."""
    if file.exists():
        raise ExportFailed(f"{file} exists already: name another file.")
    file.parent.mkdir(parents=True, exist_ok=True)
    recognise = recogniser(settings.data_recogniser)
    store = open_store(settings.database_url, live_defaults=settings.live())
    left_out: Counter[str] = Counter()
    lost: set[str] = set()
    try:
        with LineWriter(file) as lines:
            for record, losses in exports(store.database, format, recognise):
                if record is None:
                    left_out.update(f"{loss.name}: {loss.reason}" for loss in losses)
                else:
                    lost |= {loss.name for loss in losses}
                    lines.write(record)
            if not lines.count:
                raise ExportFailed(f"There is nothing that {format} could hold: {_reasons(left_out)}.")
            lines.finish()
    finally:
        store.close()
    told = [f"{lines.count} conversations as {format} are in {file}"]
    if format in WITH_CONFIG:
        config = file.with_name(f"{file.name}.axolotl.yaml")
        write_whole(config, axolotl_config(format, file.name, settings.base_model))
        told.append(f"The Axolotl config that reads them is {config}")
    if left_out:
        told.append(f"Left out: {_reasons(left_out)}")
    return [*told, f"The format does not hold: {', '.join(sorted(lost))}"]


def _reasons(left_out: Counter[str]) -> str:
    return "; ".join(f"{count} {reason}" for reason, count in left_out.most_common()) or "no conversation of that kind"


def main(arguments: list[str] | None = None) -> int:
    """2 with a sentence where it cannot."""
    parser = argparse.ArgumentParser(prog="python -m deploy.export", description=__doc__)
    parser.add_argument("format", choices=EXPORT_FORMATS)
    parser.add_argument("file", type=Path)
    parsed = parser.parse_args(arguments)
    try:
        print("\n".join(export_to(read_settings(), parsed.format, parsed.file.absolute())))
    except (SettingsError, ExportFailed, RecogniserMissing, StoreError) as error:
        print(error, file=sys.stderr)
        return EXIT_STATUS
    return 0


if __name__ == "__main__":
    sys.exit(main())
