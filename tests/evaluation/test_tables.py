"""Tables read back as what was put in."""

import csv
import io
import json

import pytest

from relightify_jax.evaluation import tables
from relightify_jax.evaluation.tables import Column

COLUMNS = (Column("name", "name|of it"), Column("value", "value", ".2f"), Column("share", "%"))
ROWS = [
    {"name": "a|b\nc", "value": 1234.567, "share": None, "more": [1]},
    {"name": "_x_ & {y}", "value": 1, "share": None},
    {"name": "long, \"quoted\" name", "value": float("nan")},
]  # fmt: skip


def test_markdown_has_one_aligned_line_a_row():
    lines = tables.to_markdown(ROWS, COLUMNS).splitlines()
    assert len(lines) == 2 + len(ROWS)
    assert len({len(line) for line in lines}) == 1
    cells = [line.replace(r"\|", "!").strip("|").split("|") for line in lines]
    assert {len(line) for line in cells} == {3}
    assert cells[1][0].strip("- ") == "" and cells[1][1].endswith("-: ")
    assert [line[1].strip() for line in cells] == ["value", cells[1][1].strip(), "1234.57",
                                                   "1.00", "nan"]  # fmt: skip
    assert cells[2][0].strip() == "a!b c" and cells[2][2].strip() == "-"


def test_latex_escapes_what_has_a_meaning():
    text = tables.to_latex(ROWS, COLUMNS)
    assert r"\_x\_ \& \{y\} & 1.00 & - \\" in text
    assert text.startswith(r"\begin{tabular}{lrl}") and r"& \% \\" in text


def test_csv_reads_back_in_full_precision():
    header, *lines = csv.reader(io.StringIO(tables.to_csv(ROWS, COLUMNS)))
    assert header == ["name", "value", "share"]
    assert [line[0] for line in lines] == [row["name"] for row in ROWS]
    assert float(lines[0][1]) == 1234.567 and lines[0][2] == ""


def test_json_holds_everything_and_is_strict():
    def refuse(word):
        raise AssertionError(word)

    rows = json.loads(tables.to_json(ROWS), parse_constant=refuse)
    assert rows[0]["more"] == [1] and rows[1]["value"] == 1 and rows[2]["value"] is None


@pytest.mark.parametrize("suffix", [".md", ".tex", ".csv", ".json"])
def test_the_ending_says_what_is_written(tmp_path, suffix):
    path = tmp_path / f"table{suffix}"
    tables.write_table(path, ROWS, COLUMNS)
    writer = {".md": tables.to_markdown, ".tex": tables.to_latex, ".csv": tables.to_csv,
              ".json": tables.to_json}[suffix]  # fmt: skip
    assert path.read_text(encoding="utf-8") == writer(ROWS, COLUMNS)


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ValueError, match="xlsx"):
        tables.write_table(tmp_path / "table.xlsx", ROWS, COLUMNS)
