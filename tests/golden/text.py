#!/usr/bin/env python3
"""Golden values of the functions of texts and dates: the standard library, scikit-learn and pandas."""

import html.parser
import re
import sys
import unicodedata

import pandas as pd
import sklearn
from golden import Golden, per_value
from sklearn.feature_extraction.text import CountVectorizer, strip_accents_unicode

SKLEARN = f"scikit-learn {sklearn.__version__}"
PANDAS = f"pandas {pd.__version__}"
PYTHON = f"Python {sys.version_info.major}.{sys.version_info.minor}'s standard library, unicodedata {unicodedata.unidata_version}"

TEXTS = [
    "", " ", "plain", "Kurt Gödel", "Ærøskøbing, Łódź", "e\u0301\u0327", "ﬁn ½ ①", "한국어", "Việt Nam", "ガギグ", "STRASSE Straße",
    "İstanbul ILIK", "ΟΔΟΣ Σίσυφος", "Acme, Inc.", "inc.  ACME", "a-b_c d\te\nf", "$5 + 3 ~ ^ `", "«quoted», “text”、end", "x\u0000y\u009fz",
    "a\u00a0b\u3000c", "The cat's out: I saw 2 cats!", "A.B.C. 3.14 snake_case", "🚀 to the moon 🚀", None, "ĸŋŧħıđðþœ©ƿ",
]  # fmt: skip


class Text(html.parser.HTMLParser):
    """The text outside of scripts and styles."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.texts = []
        self.skipped = 0

    def handle_starttag(self, tag, attrs):
        self.skipped += tag in ("script", "style")

    def handle_endtag(self, tag):
        self.skipped -= tag in ("script", "style")

    def handle_data(self, data):
        if not self.skipped:
            self.texts.append(data)


def strip_html(value):
    parser = Text()
    parser.feed(value)
    parser.close()
    return "".join(parser.texts)


def fold(value):
    """OpenRefine's normalisation of a key."""
    plain = {
        "ß": "ss", "æ": "ae", "ø": "oe", "œ": "oe", "©": "c", "ð": "d", "đ": "d", "ɖ": "d", "þ": "th", "ƿ": "w", "ħ": "h", "ı": "i", "ĸ": "k",
        "ł": "l", "ŋ": "n", "ŧ": "t", "ẜ": "s", "ẝ": "s",
    }  # fmt: skip
    value = unicodedata.normalize("NFKD", value.strip().lower())
    value = "".join(c for c in value if not (0x300 <= ord(c) <= 0x36F or unicodedata.category(c) in ("Lm", "Sk")))
    value = "".join(plain.get(c, c) for c in value)
    value = "".join(c for c in value if not unicodedata.category(c).startswith("P"))
    return re.sub("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]", "", value)


def fingerprint(value):
    return " ".join(sorted(set(fold(value).split())))


def ngram_fingerprint(value, n):
    value = "".join(c for c in fold(value) if not c.isspace() and unicodedata.category(c) != "Cc")
    return "".join(sorted({value[i : i + n] for i in range(len(value) - n + 1)}))


def texts():
    golden = Golden("text_clean", PYTHON, {"w": ("VARCHAR", TEXTS)})
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        golden.case(f"normalize_unicode(w, '{form}') AS y", per_value(TEXTS, lambda v, form=form: unicodedata.normalize(form, v)))
    golden.case("normalize_unicode(w) AS y", per_value(TEXTS, lambda v: unicodedata.normalize("NFKC", v)))
    stripped = per_value(TEXTS, lambda v: unicodedata.normalize("NFC", strip_accents_unicode(v)))
    golden.case("strip_accents(w) AS y", stripped, authority=SKLEARN, note="composed again by NFC")
    method = "OpenRefine's documented steps, written out"
    for kind in ("Utf8", "LargeUtf8", "Dictionary(Int32, Utf8)"):
        golden.case(f"fingerprint(arrow_cast(w, '{kind}')) AS y", per_value(TEXTS, fingerprint), authority=method)
    for n in (1, 2, 3):
        golden.case(f"ngram_fingerprint(w, {n}) AS y", per_value(TEXTS, lambda v, n=n: ngram_fingerprint(v, n)), authority=method)
    golden.write()

    pieces = [
        "plain", "<b>bold</b> &amp; <i class='x > y'>it</i>", "1 < 2 &lt; 3", "a<!-- <b>c</b> -->d", "a<script>if (1<2) { '<b>' }</script>b",
        "<style>p > b {}</style>x", "&eacute;&#233;&#xe9; &copy &notit; &unknown;", "&#150;&#0;&#xD800;", "<a href=\"?a=1&amp;b=2\">link</a>", None,
        "x<img src=y alt='>'>z", "<span\nid=q>é</span>", "&amp;lt;",
    ]  # fmt: skip
    golden = Golden("text_strip_html", f"{PYTHON}, html.parser", {"w": ("VARCHAR", pieces)})
    golden.case("strip_html(w) AS y", per_value(pieces, strip_html), note="no blocks, which html.parser does not know")
    golden.write()


def words():
    present = [v for v in TEXTS if v is not None and "\u0301" not in v and "İ" not in v]
    golden = Golden("text_words", f"{SKLEARN}, CountVectorizer", {"w": ("VARCHAR", present)})
    for lower in (True, False):
        for least in (1, 2, 3):
            pattern = r"(?u)\b" + r"\w" * least + r"+\b"
            analyze = CountVectorizer(lowercase=lower, token_pattern=pattern).build_analyzer()
            golden.case(f"tokenize(w, lower => {str(lower).lower()}, min_length => {least}) AS y", [analyze(v) for v in present])
    for lo, hi in ((1, 1), (1, 2), (2, 2), (2, 4), (1, 9)):
        analyze = CountVectorizer(ngram_range=(lo, hi)).build_analyzer()
        golden.case(f"ngrams(tokenize(w), {lo}, {hi}) AS y", [analyze(v) for v in present])
    golden.write()


def dates():
    times = [
        "2024-02-29T13:45:00", "2023-12-31T23:59:59", "2024-01-01T00:00:00", "1969-12-31T23:59:59", "1900-03-01T12:00:00", "2000-01-01T06:30:00",
        "2100-02-28T18:00:00", None, "1677-09-22T00:00:00", "2262-04-11T23:00:00", "2024-03-31T01:30:00", "2024-10-27T00:30:00",
    ]  # fmt: skip

    def parts(series):
        columns = [series.dt.year, series.dt.month, series.dt.day, series.dt.day_of_week, series.dt.hour]
        columns = [[None if pd.isna(v) else int(v) for v in column] for column in columns]
        return [*columns, [None if v is None else v >= 5 for v in columns[3]]]

    golden = Golden("text_dates", PANDAS, {"w": ("VARCHAR", times)})
    series = pd.Series(pd.to_datetime(times))
    names = [f"y_{part}" for part in ("year", "month", "day", "weekday", "hour", "is_weekend")]
    for unit in ("Second", "Millisecond", "Microsecond", "Nanosecond"):
        golden.case(f"date_parts(arrow_cast(w, 'Timestamp({unit}, None)')) AS y", *parts(series), names=names)
    date = "arrow_cast(arrow_cast(w, 'Timestamp(Second, None)'), 'Date32')"
    for given in (date, f"arrow_cast({date}, 'Date64')"):
        golden.case(f"date_parts({given}) AS y", *parts(series.dt.normalize()), names=names)
    golden.write()


if __name__ == "__main__":
    texts()
    words()
    dates()
