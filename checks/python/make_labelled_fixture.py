"""Makes the Parquet files in crates/cloze/tests/fixtures/labelled, as Hugging Face's data sets are stored.

    make_labelled_fixture.py FOLDER
"""

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def write(path, columns, features, **options):
    """Writes columns with the names of their classes where `datasets` keeps them."""
    table = pa.table(columns)
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if features else {}
    pq.write_table(table.replace_schema_metadata(metadata), path, **options)


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    names = {"names": ["neg", "pos"], "_type": "ClassLabel"}
    texts = {"text": ["good film", "bad film", "fine"], "label": pa.array([1, 0, 1], pa.int64()), "idx": [7, 8, 9]}
    write(folder / "texts.parquet", texts, {"label": names})
    for version in ("1.0", "2.0"):
        name = f"texts-zstd-{version[0]}.parquet"
        write(folder / name, texts, {}, compression="zstd", data_page_version=version)
    tags = {"names": ["O", "B-PER", "I-PER"], "_type": "ClassLabel"}
    tokens = {
        "id": ["0", "1"],
        "tokens": [["Ann", "Lee", "came"], ["He", "left"]],
        "ner_tags": pa.array([[1, 2, 0], [0, 0]], pa.list_(pa.int64())),
    }
    write(folder / "tokens.parquet", tokens, {"ner_tags": {"feature": tags, "_type": "Sequence"}}, compression="zstd")
    answers = pa.array(
        [{"text": ["Ann"], "answer_start": [0]}, {"text": [], "answer_start": []}],
        pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int32()))]),
    )
    questions = {
        "id": ["a", "b"],
        "title": ["t", "t"],
        "context": ["Ann came.", "Ann came."],
        "question": ["Who came?", "When?"],
        "answers": answers,
    }
    write(folder / "questions.parquet", questions, {})
    flags = {"text": ["a", "b"], "labels": pa.array([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]], pa.list_(pa.float32()))}
    write(folder / "flags.parquet", flags, {})


main(Path(sys.argv[1]))
