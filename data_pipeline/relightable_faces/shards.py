"""Writes a data set shard by shard, so that an interrupted build goes on where it stopped.

A shard is one ArrayRecord file of consecutive records and a small report beside it. The file
is moved into place when it is whole, then the report; a shard with a report is finished.
Which records a shard holds depends on neither the number of workers nor that of records, so
that a finished data set can also be extended.
"""

import dataclasses
import errno
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from absl import logging
from array_record.python import array_record_module

from data_pipeline.relightable_faces import relightable_faces_dataset_builder as builder
from data_pipeline.relightable_faces.examples import Skipped, Source
from data_pipeline.relightable_faces.statistics import Tally
from relightify_jax.core.errors import InputError
from relightify_jax.core.files import atomic_path

# One record per chunk for random access. Stronger compression gains nothing on the differences
# that `UVMap` stores and is slower to write.
_WRITER_OPTIONS = "group_size:1,zstd:1"
_REPORTS = "shards"
_SETTINGS = "build.json"


class Shard(NamedTuple):
    """The records start to stop - 1 of a split."""

    split: str
    number: int
    start: int
    stop: int


@dataclasses.dataclass(frozen=True)
class Report:
    """What became of a shard."""

    start: int
    stop: int
    num_bytes: int
    skipped: dict[str, str]  # Name of a record to the reason.
    tally: Tally

    def to_text(self) -> str:
        """For `from_text`."""
        return json.dumps({**vars(self), "tally": self.tally.to_json()})

    @classmethod
    def from_text(cls, text: str) -> "Report":
        """Inverse of `to_text`."""
        data = json.loads(text)
        return cls(**{**data, "tally": Tally.from_json(data["tally"])})


def plan_shards(counts: Mapping[str, int], shard_size: int) -> list[Shard]:
    """Divides every split into shards of `shard_size` records, the last one smaller.

    Raises:
        InputError: If `shard_size` is less than 1.
    """
    if shard_size < 1:
        raise InputError(f"shard_size is {shard_size}; it must be at least 1.")
    return [
        Shard(split, number, start, min(start + shard_size, count))
        for split, count in counts.items()
        for number, start in enumerate(range(0, count, shard_size))
    ]


def open_folder(
    out: str, source: Source, counts: Mapping[str, int], shard_size: int
) -> pathlib.Path:
    """Makes the folder of a data set, or finds it begun or finished with the same settings.

    Raises:
        InputError: If the folder cannot be written to or holds another data set, or one of
            more records.
    """
    folder = builder.folder_of(out, source)
    settings = {**source.settings(), "shard_size": shard_size}
    path = folder / _SETTINGS
    try:
        if path.exists():
            _check_settings(folder, json.loads(path.read_text()), settings)
        else:
            (folder / _REPORTS).mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as partial:
                partial.write_text(json.dumps(settings, indent=2))
        for split, count in counts.items():
            beyond = Shard(split, (count - 1) // shard_size, 0, 0)
            last = _read_report(folder, beyond)
            further = _read_report(folder, beyond._replace(number=beyond.number + 1))
            if further or (last and last.stop > count):
                raise InputError(
                    f"{folder} already holds more than {count} records of {split!r}; give the "
                    "larger number or another --out."
                )
    except (OSError, ValueError) as error:
        raise InputError(f"Cannot use the folder {folder} ({error}); give another --out.") from None
    return folder


def find_report(folder: pathlib.Path, shard: Shard) -> Report | None:
    """The report of a shard if it is finished and holds the records that it should."""
    report = _read_report(folder, shard)
    if report is None:
        return None
    is_whole = (report.start, report.stop) == (shard.start, shard.stop)
    exists = (folder / builder.file_name(shard.split, shard.number)).is_file()
    return report if is_whole and exists else None


def write_shard(
    folder: pathlib.Path, source: Source, shard: Shard, advance: Callable[[], None]
) -> None:
    """Writes one shard and its report.

    Args:
        folder: Of the data set.
        source: Of the records.
        shard: Which records.
        advance: Called after every record.

    Raises:
        InputError: If the disk is full or cannot be written to; finished shards are kept.
    """
    tally, skipped = Tally(), {}
    try:
        with atomic_path(folder / builder.file_name(shard.split, shard.number)) as partial:
            writer = array_record_module.ArrayRecordWriter(str(partial), _WRITER_OPTIONS)
            try:
                for example in source.examples(shard.split, shard.start, shard.stop):
                    if isinstance(example, Skipped):
                        logging.warning("Skipped %s: %s", example.name, example.reason)
                        skipped[example.name] = example.reason
                    else:
                        writer.write(builder.serialize(source, example))
                        angle = example.facts.get("typology_angle", float("nan"))
                        tally.add(example.subject, example.record, angle)
                    advance()
            finally:
                writer.close()
            num_bytes = partial.stat().st_size
        report = Report(shard.start, shard.stop, num_bytes, skipped, tally)
        with atomic_path(_report_path(folder, shard)) as partial:
            partial.write_text(report.to_text())
    except (OSError, RuntimeError) as error:
        reason = _reason_of_failure(error)
        if reason is None:
            raise
        raise InputError(
            f"{folder}: {reason} while records {shard.start} to {shard.stop - 1} of "
            f"{shard.split!r} were written; finished files are kept, so make room and give "
            "the same command again."
        ) from None


def finish(folder: pathlib.Path, source: Source, shards: list[Shard], settings: Any) -> Tally:
    """Writes the description of a data set whose shards are all finished.

    Args:
        folder: Of the data set.
        source: Of the records.
        shards: All of them.
        settings: Anything for JSON to keep with the data, such as the configuration.

    Returns:
        The counts of all records.

    Raises:
        InputError: If a split has no good record.
    """
    sizes: dict[str, list[tuple[int, int]]] = {}
    tallies: dict[str, Tally] = {}
    skipped: dict[str, str] = {}
    for shard in shards:
        report = find_report(folder, shard)
        if report is None:
            raise ValueError(f"{shard} is not finished.")
        sizes.setdefault(shard.split, []).append((report.tally.records, report.num_bytes))
        tallies.setdefault(shard.split, Tally()).merge(report.tally)
        skipped |= report.skipped
    total = Tally()
    for split, tally in tallies.items():
        if not tally.records:
            first = next(iter(skipped.items()), ("", ""))
            raise InputError(
                f"No record of the split {split!r} could be used; the first of "
                f"{len(skipped)} is {first[0]}: {first[1]}"
            )
        total.merge(tally)
    metadata = {
        "settings": settings,
        "licence": source.licence,
        "statistics": total.summary(),
        "splits": {
            split: {"records": tally.records, "subjects": len(tally.subjects)}
            for split, tally in tallies.items()
        },
        "skipped": skipped,
        **source.metadata(),
    }
    for leftover in (*folder.glob(".part-*"), *(folder / _REPORTS).glob(".part-*")):
        if leftover.is_file():  # Of a build that was killed.
            leftover.unlink(missing_ok=True)
    builder.write_description(folder, source, sizes, metadata)
    return total


def skipped_records(folder: pathlib.Path, shards: list[Shard]) -> dict[str, str]:
    """Name to reason of every record that was left out."""
    reports = [find_report(folder, shard) for shard in shards]
    return {name: why for r in reports if r is not None for name, why in r.skipped.items()}


def _read_report(folder: pathlib.Path, shard: Shard) -> Report | None:
    try:
        return Report.from_text(_report_path(folder, shard).read_text())
    except (OSError, ValueError, KeyError, TypeError):  # Missing or damaged.
        return None


def _report_path(folder: pathlib.Path, shard: Shard) -> pathlib.Path:
    return folder / _REPORTS / f"{shard.split}-{shard.number:05d}.json"


def _check_settings(folder: pathlib.Path, have: dict, wanted: dict) -> None:
    different = [
        f"{name} {have.get(name)!r} instead of {wanted.get(name)!r}"
        for name in sorted(have.keys() | wanted.keys())
        if have.get(name) != wanted.get(name)
    ]
    if different:
        raise InputError(
            f"{folder} holds a data set of another configuration ({', '.join(different)}); "
            "give another --out or delete it."
        )


def _reason_of_failure(error: Exception) -> str | None:
    """Why a file could not be written; None if `error` is about something else."""
    text = str(error)
    if "No space left" in text or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full"
    if isinstance(error, OSError):
        return f"cannot write ({error.strerror or text})"
    # ArrayRecord reports with RuntimeError.
    return f"cannot write ({text})" if "write() failed" in text or "open() failed" in text else None
