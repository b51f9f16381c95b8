"""Makes crates/cloze/tests/fixtures/documents: the same documents in every kind of file that corpora come in.

    pip install pyarrow zstandard
    python make_documents_fixture.py crates/cloze/tests/fixtures/documents

`documents.json` has the texts of the rows; `null` is a row without text.
"""

import gzip
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

WORDS = "the cat dog runs sleeps red blue a Élan 你好 今天 rain".split()


def text(n):
    lines = [" ".join(WORDS[(n * 7 + line * 3 + word * (n % 5 + 1)) % len(WORDS)] for word in range(4 + n % 9)) + "."
             for line in range(1 + n % 4)]
    return "\n".join(lines)


def frames(data):
    """Two frames with checksums and a skippable one between them."""
    compress = zstandard.ZstdCompressor(level=9, write_checksum=True).compress
    half = len(data) // 2
    return compress(data[:half]) + b"\x50\x2a\x4d\x18\x05\x00\x00\x00hello" + compress(data[half:])


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    texts = [text(n) for n in range(60)]
    rows = [None if n % 11 == 5 else text for n, text in enumerate(texts)]
    (folder / "documents.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    present = [row for row in rows if row is not None]
    plain = "\n\n".join(present) + "\n"
    (folder / "plain.txt").write_text(plain, encoding="utf-8")
    records = "".join(json.dumps({"id": n, "text": row}) + "\n" for n, row in enumerate(rows))
    (folder / "records.jsonl").write_text(records)

    table = pa.table({"id": pa.array(range(len(rows)), pa.int64()), "text": pa.array(rows, pa.string())})
    metas = [None if n % 10 == 9 else {"url": None if n % 3 == 0 else f"u{n}", "tags": ["a", "b"]}
             for n in range(len(rows))]
    nested = table.append_column("meta", pa.array(metas))
    required = pa.table({"text": pa.array([row or "" for row in rows], pa.string())},
                        schema=pa.schema([pa.field("text", pa.string(), nullable=False)]))
    for name, data, options in [
        ("snappy", nested, {"compression": "snappy"}),
        ("row-groups", table, {"compression": "none", "row_group_size": 25, "data_page_size": 256,
                               "write_batch_size": 7, "use_dictionary": False, "write_page_checksum": True}),
        ("gzip", table, {"compression": "gzip", "use_dictionary": False}),
        ("zstd", table, {"compression": "zstd", "data_page_version": "2.0"}),
        ("lz4", table, {"compression": "lz4", "data_page_version": "2.0"}),
        ("brotli", table, {"compression": "brotli"}),
        ("required", required, {"compression": "snappy"}),
    ]:
        pq.write_table(data, folder / f"{name}.parquet", write_statistics=False, store_schema=False, **options)

    for name in ["plain.txt", "records.jsonl", "row-groups.parquet"]:
        data = (folder / name).read_bytes()
        half = len(data) // 2
        packed = gzip.compress(data[:half], mtime=0) + gzip.compress(data[half:], mtime=0)
        (folder / f"{name}.gz").write_bytes(packed)
        (folder / f"{name}.zst").write_bytes(frames(data))


main(Path(sys.argv[1]))
