"""Prints crates/cloze-tokenizer/src/unicode/python_tables.rs: what Python's unicodedata says about characters.

    python3.11 checks/python/python_unicode_tables.py crates/cloze-tokenizer/src/unicode/tables.rs \
        > crates/cloze-tokenizer/src/unicode/python_tables.rs

Only what differs from tables.rs, which are older, is printed.
"""

import re
import sys
import unicodedata

WIDTH = 100
CHARACTERS = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]


def literal(c):
    return f"'\\u{{{ord(c):X}}}'"


def runs(value):
    found = []
    for c in CHARACTERS:
        v = value(c)
        if not v:
            continue
        if found and ord(found[-1][1]) + 1 == ord(c) and found[-1][2] == v:
            found[-1][1] = c
        else:
            found.append([c, c, v])
    return found


def print_table(name, doc, element, entries):
    print(f"\n/// {doc}\n#[rustfmt::skip]\npub(super) static {name}: &[{element}] = &[")
    line = "   "
    for entry in entries:
        if len(line) + len(entry) + 2 > WIDTH:
            print(line)
            line = "   "
        line += f" {entry},"
    print(f"{line}\n];")


def print_ranges(name, doc, is_in):
    entries = [f"({literal(first)}, {literal(last)})" for first, last, _ in runs(is_in)]
    print_table(name, doc, "(char, char)", entries)


def print_changed(name, tables, doc, is_in):
    """Where the table of this name gives another answer."""
    table = re.search(rf"static {name}: [^=]*= &\[(.*?)\];", tables, re.DOTALL)[1]
    older = set()
    for first, last in re.findall(r"\('\\u\{(\w+)\}', '\\u\{(\w+)\}'\)", table):
        older.update(range(int(first, 16), int(last, 16) + 1))
    assert older, name
    print_ranges(f"CHANGED_{name}", doc, lambda c: (ord(c) in older) != is_in(c))


def main():
    tables = open(sys.argv[1], encoding="utf-8").read()
    classes = {}
    for first, last, number in re.findall(r"\('\\u\{(\w+)\}', '\\u\{(\w+)\}', (\d+)\)", tables):
        classes.update((code, int(number)) for code in range(int(first, 16), int(last, 16) + 1))
    decompositions = dict(re.findall(r"\('\\u\{(\w+)\}', \"([^\"]*)\"\)", tables))

    assert unicodedata.unidata_version == "14.0.0", "this is not Python 3.11"
    print("//! Facts about characters as Python 3.11 has them, with Unicode 14.")
    print("//! Printed by `checks/python/python_unicode_tables.py`: change that program, not this file.")
    print_changed(
        "CONTROL", tables, "Where categories Cc and Cf are not what the older table has: first and last of each range.",
        lambda c: unicodedata.category(c) in ("Cc", "Cf"))
    print_changed(
        "PUNCTUATION", tables, "The same of categories P* beyond ASCII.",
        lambda c: c > "\x7F" and unicodedata.category(c).startswith("P"))
    print_changed(
        "NONSPACING_MARK", tables, "The same of category Mn.", lambda c: unicodedata.category(c) == "Mn")
    print_ranges(
        "UNASSIGNED", "What is no character yet, as first and last of each range.",
        lambda c: unicodedata.category(c) == "Cn")
    later = runs(lambda c: unicodedata.combining(c) if classes.get(ord(c), 0) != unicodedata.combining(c) else 0)
    print_table(
        "LATER_COMBINING_CLASS", "Combining classes that are 0 in the older table: first and last character, class.",
        "(char, char, u8)", [f"({literal(first)}, {literal(last)}, {number})" for first, last, number in later])
    entries = []
    for c in CHARACTERS:
        whole = unicodedata.normalize("NFD", c)
        escaped = "".join(f"\\u{{{ord(d):X}}}" for d in whole)
        if not "\uAC00" <= c <= "\uD7A3" and escaped != decompositions.get(f"{ord(c):X}", literal(c)[1:-1]):
            entries.append(f'({literal(c)}, "{escaped}")')
    print_table("LATER_DECOMPOSITION", "Decompositions that the older table lacks.", "(char, &str)", entries)


if __name__ == "__main__":
    main()
